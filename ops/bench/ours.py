"""Our side: the actors, how their events are published, and the life of a worker process."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from broker import Actor, AsyncRun, Publisher, Run, Settings, actor, logs
from broker.broker import CallboardBroker
from broker.declare import declare
from broker.engine import Engine
from broker.migrate import engine_migrations, migrate
from broker.telemetry import Telemetry
from broker.transports.rabbitmq import RabbitmqTransport
from ops.bench.bare import Bare
from ops.bench.job import INSERT, STEPS, Job, Scenario, milliseconds_since, serve
from ops.worker_process import SWITCH_INTERVAL
from schemas import Event

_told: list[float] = []
_beside: list[Bare] = []
"""One, where a round asks for spans of the bare SDK."""


class Numbered(Event):
    n: int
    text: str


class Tiny(Numbered, type="bench.tiny"): ...


class First(Numbered, type="bench.first"): ...


class Second(Numbered, type="bench.second"): ...


class Third(Numbered, type="bench.third"): ...


class Read(Numbered, type="bench.read"): ...


class Between(Numbered, type="bench.between"): ...


class Last(Numbered, type="bench.last"): ...


class Stepped(Numbered, type="bench.stepped"):
    sent: float = 0.0


class Timed(Numbered, type="bench.timed"):
    sent: float = 0.0


class Waited(Numbered, type="bench.waited"): ...


@actor()
def tiny(event: Tiny, run: Run) -> None:
    del event, run


@actor()
def first(event: First, run: Run) -> Second:
    run.write(INSERT, {"id": event.n, "stage": 1})
    return Second(n=event.n, text=event.text)


@actor()
def second(event: Second, run: Run) -> Third:
    run.write(INSERT, {"id": event.n, "stage": 2})
    return Third(n=event.n, text=event.text)


@actor()
def third(event: Third, run: Run) -> None:
    run.write(INSERT, {"id": event.n, "stage": 3})
    for bare in _beside:
        bare.tell()


@actor()
def read(event: Read, run: Run) -> Between:
    with run.transaction() as db:
        db.execute(INSERT, {"id": event.n, "stage": 1})
    return Between(n=event.n, text=event.text)


@actor()
def between(event: Between, run: Run) -> Last:
    with run.transaction() as db:
        db.execute(INSERT, {"id": event.n, "stage": 2})
    return Last(n=event.n, text=event.text)


@actor()
def last(event: Last, run: Run) -> None:
    with run.transaction() as db:
        db.execute(INSERT, {"id": event.n, "stage": 3})


def work(number: int) -> int:
    return number


@actor()
def step(event: Stepped, run: Run) -> None:
    for number in range(STEPS):
        run.step(f"step-{number}", work, number)
    if event.sent:
        _told.append(milliseconds_since(event.sent))


@actor()
def time_it(event: Timed, run: Run) -> None:
    del run
    if event.sent:
        _told.append(milliseconds_since(event.sent))


@actor()
async def wait(event: Waited, run: AsyncRun) -> None:
    del event, run
    _told.append(time.monotonic())
    await asyncio.sleep(1)


ACTORS: dict[Scenario, tuple[type[Numbered], list[Actor[Any, Any]]]] = {
    "tiny": (Tiny, [tiny]),
    "chain": (First, [first, second, third]),
    "transaction": (Read, [read, between, last]),
    "steps": (Stepped, [step]),
    "latency": (Timed, [time_it]),
    "async": (Waited, [wait]),
    "delayed": (Timed, [time_it]),
}


class Ours:
    """One round's corner of the servers: a namespace and a database of its own."""

    def __init__(self, job: Job) -> None:
        self.event, actors = ACTORS[job.scenario]
        settings = Settings(namespace=job.namespace, threads=job.threads)
        self.settings = settings.model_copy(update={"database_url": SecretStr(job.dsn)})
        self.broker = CallboardBroker(job.namespace)
        self.broker.bind(actors)
        self.transport = RabbitmqTransport(job.amqp, exchange=f"{job.namespace}.events")
        self.publisher = Publisher(self.transport, "bench", self.settings.database)

    def prepare(self) -> None:
        """Make the schema, the queues and their bindings."""
        migrate(self.settings.database, engine_migrations(self.settings.namespace))
        declare(self.settings.database, self.transport, self.broker.topology())

    def publish(self, events: Iterable[Numbered], delay: timedelta | None = None) -> None:
        """A few hundred in each hand-over, as a batch of a service would be; events of one number are one event."""
        batch = list(events)
        for start in range(0, len(batch), 500):
            part = batch[start : start + 500]
            self.publisher.publish_many(part, ids=[str(event.n) for event in part], delay=delay)

    def close(self) -> None:
        self.transport.close()


def main() -> None:
    job = Job.from_command_line()
    sys.setswitchinterval(SWITCH_INTERVAL)
    logs.configure("warning")
    ours = Ours(job)
    telemetry = Telemetry(sample=job.sample)
    if job.bare:
        _beside.append(Bare(job.bare))
    tracer = None if job.bare else telemetry.tracer
    engine = Engine(ours.settings, ours.broker, ours.transport, tracer=tracer)
    began = time.process_time()
    serve(job, engine.start, _told)
    engine.stop(timedelta(seconds=5))
    telemetry.shutdown()
    for bare in _beside:
        bare.shutdown()
    print(json.dumps(time.process_time() - began), flush=True)
    os._exit(0)
