"""A whole engine in the test's process: real PostgreSQL, the `postgres` transport, the actors of your choice."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

from opentelemetry.metrics import Meter
from pydantic import SecretStr

from broker.actor import Actor
from broker.broker import CallboardBroker
from broker.database import Database
from broker.declare import declare
from broker.engine import Engine
from broker.migrate import Migration, engine_migrations, migrate
from broker.publisher import Publisher
from broker.schedules import Schedule
from broker.schedules.register import register
from broker.settings import Settings
from broker.testing.clock import VirtualClock
from broker.transports.base import Transport
from broker.transports.postgres import PostgresTransport
from broker.wiring import Pipeline, pipelines_of
from schemas import Event

_OPEN = """
select (select count(*) from run
        where status in ('running', 'queued') or (status in ('waiting', 'retrying') and due_at <= clock()))
     + (select count(*) from delivery where queue = any(%s))
     + (select count(*) from outbox where send_at <= clock() or held_by is not null)
     + (select count(*) from schedule where next_at <= clock() and paused_at is null and retired_at is null and error is null)"""

_LEFT = "select actor, status, count(*) from run where finished_at is null group by 1, 2"


class Stage:
    """Enter it, `publish`, `drain`, look at the tables. Give it the DSN of an empty database that you may fill.

    `transport` defaults to the `postgres` one. `clock` moves time: a retry of an hour is one `advance`; `now` is
    the moment at which it begins.
    """

    def __init__(
        self,
        dsn: str,
        actors: Sequence[Actor[Any, Any]],
        *,
        pipelines: Sequence[Pipeline] = (),
        schedules: Sequence[Schedule] = (),
        now: datetime | None = None,
        migrations: Sequence[Migration] = (),
        transport: Transport | None = None,
        settings: Settings | None = None,
        meter: Meter | None = None,
    ) -> None:
        base = settings or Settings(threads=4, sweep_interval=timedelta(milliseconds=20))
        self.settings = base.model_copy(update={"database_url": SecretStr(dsn)})
        self.database: Database = self.settings.database
        migrate(self.database, [*engine_migrations(self.database.schema), *migrations])
        self.clock = VirtualClock(
            self.database,
            lambda: self.engine.keeper.nudge(),  # noqa: PLW0108  the engine comes later
        )
        if now is not None:
            self.clock.move_to(now)
        self.transport = transport or PostgresTransport(self.database)
        self.broker = CallboardBroker(self.settings.namespace)
        self.broker.bind(actors)
        self.schedules = tuple(schedules)
        self.engine = Engine(
            self.settings,
            self.broker,
            self.transport,
            pipelines=pipelines_of(pipelines),
            schedules=self.schedules,
            meter=meter,
        )
        self.publisher = Publisher(self.transport, self.settings.source, self.database)

    def __enter__(self) -> Self:
        declare(self.database, self.transport, self.broker.topology())
        register(self.database, self.schedules, [""])
        self.engine.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.engine.stop(timedelta(seconds=5))

    def publish(self, event: Event, **options: Any) -> str:
        """As `Publisher.publish`."""
        return self.publisher.publish(event, **options)

    def drain(self, timeout: timedelta = timedelta(seconds=20)) -> None:
        """Wait until nothing is left to do now; runs that wait for a later time may remain. Raises TimeoutError."""
        ends = time.monotonic() + timeout.total_seconds()
        quiet = 0
        while quiet < 3:
            if time.monotonic() > ends:
                raise TimeoutError(f"after {timeout} there is still work: {self.rows(_LEFT)}")
            quiet = quiet + 1 if self._idle() else 0
            time.sleep(0.02)

    def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Execute with the engine's schema in the search path; returns what the statement returns."""
        with self.database.once("stage") as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def _idle(self) -> bool:
        [(left,)] = self.rows(
            _OPEN, ([*self.broker.topology().queues, *self.broker.topology().house_queues],)
        )
        queued = sum(self.transport.depth(queue) for queue in self.broker.topology().queues)
        return int(left) + queued + self.engine.held == 0
