"""A migrated database, and a stage on either transport."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest

from broker import Actor, Settings
from broker.database import Database
from broker.migrate import engine_migrations, migrate
from broker.testing import Stage
from broker.transports.rabbitmq import RabbitmqTransport
from ops.chaos.trial import ACTORS
from tests.support.rabbit import empty_queues

MakeStage = Callable[..., Stage]


@pytest.fixture
def database(dsn: str) -> Database:
    """A fresh database with the engine's schema."""
    found = Database(dsn)
    migrate(found, engine_migrations(found.schema))
    return found


@pytest.fixture(params=["postgres", "rabbitmq"])
def make_stage(request: pytest.FixtureRequest, dsn: str) -> Iterator[MakeStage]:
    """Make stages on one transport; each test runs on both. On RabbitMQ every test has names of its own."""
    namespace = f"t{secrets.token_hex(4)}"
    with ExitStack() as stages:

        def make(actors: Sequence[Actor[Any, Any]], **options: Any) -> Stage:
            quick = Settings(namespace=namespace, threads=4, sweep_interval=timedelta(milliseconds=20))
            settings = quick.model_copy(update=options.pop("settings", {}))
            transport = None
            if request.param == "rabbitmq":
                url = request.getfixturevalue("rabbit").url
                empty_queues(url, [actor.name for actor in actors])
                transport = RabbitmqTransport(url, exchange=f"{settings.namespace}.events")
            return stages.enter_context(Stage(dsn, actors, settings=settings, transport=transport, **options))

        yield make


@pytest.fixture(params=["postgres", "rabbitmq"])
def amqp(request: pytest.FixtureRequest) -> Iterator[str]:
    """The AMQP URL, or nothing for the `postgres` transport. Queues are emptied after the test."""
    if request.param == "postgres":
        yield ""
        return
    url = request.getfixturevalue("rabbit").url
    empty_queues(
        url,
        [*(actor.name for actor in ACTORS), "callboard.unheard", "callboard.dead", "callboard.quarantine"],
    )
    yield url
