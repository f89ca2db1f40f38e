"""The opponent: plain Dramatiq as a careful team would write it, and the life of a worker process.

Quorum queues, publisher confirms, acks after the work (its default), a validated pydantic model, and rows written by hand with
`on conflict do nothing`, committed before the ack. Everything else is stock.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.common import xq_name
from dramatiq.middleware.asyncio import AsyncIO
from dramatiq.worker import Worker
from psycopg_pool import ConnectionPool
from pydantic import BaseModel

from broker import logs
from ops.bench.job import INSERT, STEPS, Job, Scenario, milliseconds_since, serve

ONCE = f"{INSERT} on conflict do nothing"
_told: list[float] = []


class Numbered(BaseModel):
    n: int
    text: str
    sent: float = 0.0


class QuorumBroker(RabbitmqBroker):
    """Stock, but for the type of its queues."""

    def _build_queue_arguments(self, queue_name: str) -> dict[str, Any]:
        return {**super()._build_queue_arguments(queue_name), "x-queue-type": "quorum"}  # type: ignore[no-untyped-call]

    def _declare_xq_queue(self, queue_name: str) -> object:
        return self.channel.queue_declare(
            queue=xq_name(queue_name), durable=True, arguments={"x-queue-type": "quorum"}
        )


class Plain:
    """One round's corner of the servers: queues of its own names, a database of its own."""

    def __init__(self, job: Job) -> None:
        logs.configure("warning")
        self.job = job
        self.broker = QuorumBroker(url=job.amqp, confirm_delivery=True)
        if job.scenario == "async":
            self.broker.add_middleware(AsyncIO())
        self.pool = ConnectionPool(job.dsn, min_size=0, max_size=job.threads + 2, open=False)
        self.entry = _MAKERS[job.scenario](self)

    def actor(self, name: str, body: Callable[..., Any]) -> "dramatiq.Actor[..., Any]":
        queue = f"{self.job.namespace}.{name}"
        return dramatiq.actor(body, broker=self.broker, actor_name=name, queue_name=queue)  # type: ignore[call-overload,no-any-return]

    def insert(self, id: int, stage: int) -> None:
        """A commit of its own."""
        with self.pool.connection() as db:
            db.execute(ONCE, {"id": id, "stage": stage})

    def publish(self, events: Iterable[dict[str, Any]], delay_ms: int | None = None) -> None:
        for event in events:
            self.entry.send_with_options(args=(event,), delay=delay_ms)

    def close(self) -> None:
        self.broker.close()


def _tiny(plain: Plain) -> "dramatiq.Actor[..., Any]":
    def tiny(data: dict[str, Any]) -> None:
        Numbered.model_validate(data)
        _told.append(0.0)

    return plain.actor("tiny", tiny)


def _chain(plain: Plain) -> "dramatiq.Actor[..., Any]":
    def stage(number: int, following: "dramatiq.Actor[..., Any] | None") -> "dramatiq.Actor[..., Any]":
        def body(data: dict[str, Any]) -> None:
            event = Numbered.model_validate(data)
            plain.insert(event.n, number)
            if following is not None:
                following.send(event.model_dump())

        return plain.actor(f"stage{number}", body)

    return stage(1, stage(2, stage(3, None)))


def _steps(plain: Plain) -> "dramatiq.Actor[..., Any]":
    def steps(data: dict[str, Any]) -> None:
        event = Numbered.model_validate(data)
        for number in range(STEPS):
            plain.insert(event.n, number)
        if event.sent:
            _told.append(milliseconds_since(event.sent))

    return plain.actor("steps", steps)


def _timed(plain: Plain) -> "dramatiq.Actor[..., Any]":
    def timed(data: dict[str, Any]) -> None:
        if sent := Numbered.model_validate(data).sent:
            _told.append(milliseconds_since(sent))

    return plain.actor("timed", timed)


def _waiting(plain: Plain) -> "dramatiq.Actor[..., Any]":
    async def waiting(data: dict[str, Any]) -> None:
        Numbered.model_validate(data)
        _told.append(time.monotonic())
        await asyncio.sleep(1)

    return plain.actor("waiting", waiting)


_MAKERS: dict[Scenario, Callable[[Plain], "dramatiq.Actor[..., Any]"]] = {
    "tiny": _tiny,
    "chain": _chain,
    "transaction": _chain,
    "steps": _steps,
    "latency": _timed,
    "async": _waiting,
    "delayed": _timed,
}


def main() -> None:
    job = Job.from_command_line()
    plain = Plain(job)
    plain.pool.open()
    plain.broker.emit_after("process_boot")
    worker = Worker(plain.broker, worker_threads=job.threads)
    serve(job, worker.start, _told)
    os._exit(0)
