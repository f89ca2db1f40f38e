"""A worker process of its own for fault tests: `python -m tests.support.trial_worker DSN [AMQP_URL] [--crash POINT:N]`.

With `--crash` the process ends without warning (`os._exit`) at the N-th passage of a named point. The points wrap the engine's
own functions from outside: the engine holds nothing for them.
"""

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any

import structlog
from pydantic import SecretStr

from broker import Settings
from broker.broker import CallboardBroker
from broker.declare import declare
from broker.engine import Engine
from broker.transports.postgres import PostgresTransport
from broker.transports.rabbitmq import RabbitmqTransport
from tests.support.trial import ACTORS, Journaled

CRASHED = 77


def _points() -> dict[str, tuple[Any, str, str]]:
    """name → (where, function, before or after its call)."""
    from broker import intake, outbox, perform, reading, takeover, timers
    from broker.journal import batch, records, writer
    from broker.run import synchronous
    from tests.support import trial

    return {
        "after receive": (reading.Reader, "read", "before"),
        "before claim commit": (batch, "write_claims", "after"),
        "after claim": (intake.Intake, "_answered", "before"),
        "mid-step": (trial, "work", "before"),
        "after step commit": (synchronous.Run, "_record", "after"),
        "before commit": (records, "_write_ends", "after"),
        "after commit": (writer.Journal, "_answer", "before"),
        "after publish before confirm": (outbox.StoredOutbox, "committed", "after"),
        "after confirm before mark": (outbox.StoredOutbox, "_confirmed", "before"),
        "after mark": (batch, "delete_sent", "after"),
        "after ack": (intake.Intake, "_answered", "after"),
        "in the sweep": (timers.Timers, "sweep", "after"),
        "in the takeover": (takeover.Takeover, "_take", "after"),
        "while scheduling a retry": (perform.Performer, "_failed", "after"),
        "in a transaction": (batch.Batch, "write_one", "before"),
        "after a transaction's commit": (batch.Batch, "write_one", "after"),
    }


POINTS = tuple(_points())


def arm(point: str, passage: int) -> None:
    """Make the process end at this passage of the point."""
    owner, name, when = _points()[point]
    original: Callable[..., Any] = getattr(owner, name)
    passages = 0
    lock = threading.Lock()

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal passages
        with lock:
            passages += 1
            due = passages == passage
        if due and when == "before":
            os._exit(CRASHED)
        result = original(*args, **kwargs)
        if due and isinstance(result, Generator):
            return _run_and_crash(result)
        if due:
            os._exit(CRASHED)
        return result

    setattr(owner, name, wrapped)


def _run_and_crash(writing: Generator[None, None, Any]) -> Generator[None, None, Any]:
    """A writer of the journal ends at its last turn: until then nothing has been written."""
    yield from writing
    os._exit(CRASHED)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("dsn")
    parser.add_argument("amqp", nargs="?", default="")
    parser.add_argument("--crash", default="")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--lease", type=float, default=10)
    parser.add_argument("--quarantine", action="store_true")
    arguments = parser.parse_args()
    if arguments.crash:
        point, _, passage = arguments.crash.rpartition(":")
        arm(point, int(passage))
    Journaled.dsn = arguments.dsn
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    logging.getLogger("dramatiq").setLevel(logging.CRITICAL)
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    settings = Settings(
        database_url=SecretStr(arguments.dsn),
        threads=1 if arguments.quarantine else arguments.threads,
        lease=timedelta(seconds=arguments.lease),
    )
    broker = CallboardBroker(settings.namespace)
    broker.bind(ACTORS)
    transport = RabbitmqTransport(arguments.amqp) if arguments.amqp else PostgresTransport(settings.database)
    declare(settings.database, transport, broker.topology())
    queues = [broker.topology().quarantine] if arguments.quarantine else None
    engine = Engine(settings, broker, transport, queues=queues, claim_ahead=not arguments.quarantine)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    engine.start()
    print("ready", flush=True)
    stop.wait()
    sys.exit(0 if engine.stop(timedelta(seconds=10)) else 1)


if __name__ == "__main__":
    main()
