"""A shop on a stage, with the web beside it."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from broker import Settings
from broker.testing import Stage
from ops.boot import App
from ops.web.server import serving
from tests.ops.web.shop import ACTORS, HEARD, WEBHOOKS
from tests.ops.web.till import OLDER, SALLA, STRIPE, WHSEC

Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(settings, webhooks=…, schedules=…)`: the address of a server on loopback."""
    with ExitStack() as servers:

        def start(settings: Settings, **loaded: Any) -> str:
            return servers.enter_context(serving(settings, loaded=App(**loaded)))

        yield start


@pytest.fixture
def stage(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("CALLBOARD_TILL_STRIPE_SECRETS", f"{STRIPE}, {OLDER}")
    monkeypatch.setenv("CALLBOARD_TILL_SALLA_SECRETS", json.dumps([SALLA]))
    monkeypatch.setenv("CALLBOARD_TILL_STANDARD_SECRETS", WHSEC)
    with Stage(dsn, ACTORS) as made:
        made.rows(HEARD)
        yield made


@pytest.fixture
def client(stage: Stage, serve: Serve) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=serve(stage.settings, webhooks=WEBHOOKS), timeout=20) as made:
        yield made
