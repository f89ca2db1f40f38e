"""A stage with the web beside it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from broker import Settings
from ops.boot import App
from ops.web.server import serving

Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(settings, webhooks=…, schedules=…)`: the address of a server on loopback."""
    with ExitStack() as servers:

        def start(settings: Settings, **loaded: Any) -> str:
            return servers.enter_context(serving(settings, loaded=App(**loaded)))

        yield start
