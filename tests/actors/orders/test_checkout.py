"""A checkout that was paid is one order, however often and in however many deliveries Stripe tells it."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from actors.orders.accept import accept
from actors.orders.checkout import order_of
from actors.orders.finalize import finalize
from actors.orders.generate import generate
from actors.webhooks.dispatch import dispatch
from broker.testing import Stage
from ops.boot import App
from ops.web.server import serving
from pipelines.song_order import stripe
from tests.actors.stages import domains
from tests.support import signing

SECRET = "whsec_checkout"
WISH = {"recipient_name": "Ada", "occasion": "birthday", "genre": "folk", "mood": "happy"}
ORDERS = "select id, stripe_session_id, user_id, status from orders.song_order"


@pytest.fixture
def play(dsn: str, songs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("CALLBOARD_ORDERS_STRIPE_SECRETS", SECRET)
    with Stage(dsn, [accept, generate, finalize, dispatch], migrations=domains("orders")) as play:
        yield play


@pytest.fixture
def client(play: Stage) -> Iterator[httpx.Client]:
    with (
        serving(play.settings, loaded=App(webhooks=(stripe,))) as address,
        httpx.Client(base_url=address, timeout=20) as client,
    ):
        yield client


def checkout(client: httpx.Client, session: str, **told: Any) -> httpx.Response:
    """A delivery of its own."""
    wanted = {"payment_status": "paid", "client_reference_id": "ada", "metadata": WISH, **told}
    topic = wanted.pop("topic", "checkout.session.completed")
    event = {"id": f"evt_{uuid4().hex}", "type": topic, "data": {"object": {"id": session, **wanted}}}
    body = json.dumps(event).encode()
    headers = signing.stripe(body, SECRET, int(time.time()))
    return client.post("/webhooks/stripe", content=body, headers=headers)


def test_twenty_deliveries_of_a_checkout_at_once_are_one_order(
    play: Stage, client: httpx.Client, songs: Path
) -> None:
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: checkout(client, "cs_1"), range(20)))
    play.drain()

    assert {answer.status_code for answer in answers} == {202}
    assert play.rows(ORDERS) == [(order_of("cs_1"), "cs_1", "ada", "completed")]
    assert play.rows("select count(*) from run where actor = 'orders.generate'") == [(1,)]
    assert len(list(songs.rglob("*.wav"))) == 3
    assert play.rows("select count(*) from dead_letter where reason <> 'unheard'") == [(0,)]


def test_the_order_that_the_session_names_is_taken_and_money_on_its_way_is_waited_for(
    play: Stage, client: httpx.Client
) -> None:
    order_id = uuid4()
    named = {"metadata": {**WISH, "order_id": str(order_id)}, "client_reference_id": None}
    assert checkout(client, "cs_1", payment_status="unpaid", **named).json()["mapped"] is False
    play.drain()
    assert play.rows(ORDERS) == [] and play.rows("select 1 from dead_letter") == []

    later = "checkout.session.async_payment_succeeded"
    assert checkout(client, "cs_1", topic=later, **named).json()["mapped"] is True
    play.drain()
    assert play.rows(ORDERS) == [(order_id, "cs_1", None, "completed")]


def test_a_payment_that_becomes_no_order_waits_for_a_person(play: Stage, client: httpx.Client) -> None:
    assert checkout(client, "cs_1", metadata={"genre": "folk"}).status_code == 202
    play.drain()

    assert play.rows(ORDERS) == []
    [(actor, reason, error)] = play.rows("select actor, reason, error from dead_letter")
    assert (actor, reason) == ("webhooks.dispatch", "not retriable")
    assert "a payment that became no order: see `callboard webhooks stripe`" in error
