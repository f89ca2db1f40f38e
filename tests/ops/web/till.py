"""Deliveries to the shop's webhooks, signed as its providers sign them."""

import json
import time
from base64 import b64encode
from typing import Any

import httpx

from broker.testing import Stage
from tests.support import signing

STRIPE, OLDER = "whsec_stripe_newer", "whsec_stripe_older"
SALLA, KEY = "salla-secret", bytes(range(32))
WHSEC = f"whsec_{b64encode(KEY).decode()}"
PAID = {"session_id": "cs_1", "cents": 900}

Headers = dict[str, str]


def now() -> int:
    return int(time.time())


def stripe_event(id: str = "evt_1", topic: str = "checkout.session.completed", **others: Any) -> bytes:
    return json.dumps({"id": id, "type": topic, "data": PAID, **others}).encode()


def deliver(client: httpx.Client, source: str, content: bytes, headers: Headers) -> httpx.Response:
    return client.post(f"/webhooks/{source}", content=content, headers=headers)


def stripe(client: httpx.Client, content: bytes, secret: str = STRIPE, ago: int = 0) -> httpx.Response:
    return deliver(client, "stripe", content, signing.stripe(content, secret, now() - ago))


def heard(stage: Stage) -> list[tuple[str, str]]:
    stage.drain()
    return stage.rows("select type, text from heard order by 1, 2")
