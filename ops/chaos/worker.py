"""A worker process of the trial chain: `python -m ops.chaos.worker DSN [AMQP_URL] [--crash POINT:N] …`.

With `--crash` the process ends without warning (`os._exit`) at the N-th passage of a named point.
"""

import argparse
import importlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from datetime import timedelta

import psycopg
import structlog
from pydantic import SecretStr

from broker import Settings
from broker.broker import CallboardBroker
from broker.database import Database
from broker.declare import declare
from broker.engine import Engine
from broker.errors import TransportUnavailableError
from broker.schedules.register import register
from broker.topology import Topology
from broker.transports.base import Transport
from broker.transports.postgres import PostgresTransport
from broker.transports.rabbitmq import RabbitmqTransport
from ops.chaos import seams, timekeeping
from ops.chaos.trial import Journaled

PAUSE_SECONDS = 0.25


def main() -> None:
    arguments = _arguments()
    Journaled.dsn = arguments.dsn
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    logging.getLogger("dramatiq").setLevel(logging.CRITICAL)
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    settings = Settings(
        namespace=arguments.namespace,
        database_url=SecretStr(arguments.dsn),
        threads=1 if arguments.quarantine else arguments.threads,
        lease=timedelta(seconds=arguments.lease),
        unknown_grace=timedelta(0),  # what is planned as a dead letter is to be one when the judge comes
    )
    if arguments.schedules:
        # Where the database's clock is moved by months, ids made by ours look old enough to be forgotten.
        settings = settings.model_copy(update={"dedup_window": timedelta(days=3650)})
    broker = CallboardBroker(settings.namespace)
    schedules = timekeeping.SCHEDULES if arguments.schedules else ()
    cast = importlib.import_module(arguments.cast).ACTORS
    broker.bind([*cast, *([timekeeping.hear] if schedules else [])])
    transport = transport_of(settings.database, arguments.amqp)
    _arm(arguments, transport)
    _declare(settings.database, transport, broker.topology())
    if schedules:
        register(settings.database, schedules, [""])
    queues = [broker.topology().quarantine] if arguments.quarantine else None
    engine = Engine(
        settings,
        broker,
        transport,
        name=f"{socket.gethostname()}:{os.getpid()}",
        queues=queues,
        schedules=schedules,
        claim_ahead=not arguments.quarantine,
    )
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    engine.start()
    print("ready", flush=True)
    stop.wait()
    sys.exit(0 if engine.stop(timedelta(seconds=10)) else 1)


def _declare(database: Database, transport: Transport, topology: Topology) -> None:
    """As a worker process does: whoever starts while a server is away waits for it."""
    while True:
        try:
            declare(database, transport, topology)
        except (psycopg.OperationalError, TransportUnavailableError):
            time.sleep(PAUSE_SECONDS)
        else:
            return


def transport_of(database: Database, amqp: str) -> Transport:
    """Of the namespace that the database's schema is named after. `amqp` may be several nodes, separated by commas; without any
    it is the `postgres` one."""
    if amqp:
        return RabbitmqTransport(amqp.split(","), exchange=f"{database.schema}.events")
    return PostgresTransport(database)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("dsn")
    parser.add_argument("amqp", nargs="?", default="")
    parser.add_argument("--namespace", default="callboard")
    parser.add_argument("--cast", default="ops.chaos.trial", metavar="MODULE")
    parser.add_argument("--crash", default="", metavar="POINT:N")
    parser.add_argument("--break", dest="guard", choices=seams.GUARDS)
    parser.add_argument("--doubt", type=float, default=0, metavar="SHARE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--lease", type=float, default=10, metavar="SECONDS")
    parser.add_argument("--quarantine", action="store_true")
    parser.add_argument("--schedules", action="store_true")
    parser.add_argument("--clock", type=float, default=0, metavar="SECONDS")
    return parser.parse_args()


def _arm(arguments: argparse.Namespace, transport: Transport) -> None:
    if arguments.crash:
        point, _, passage = arguments.crash.rpartition(":")
        seams.arm(point, int(passage))
    if arguments.clock:
        seams.shift_clock(timedelta(seconds=arguments.clock))
    if arguments.guard:
        seams.break_guard(arguments.guard)
    if arguments.doubt:
        seams.doubt(arguments.doubt, transport, arguments.seed)


if __name__ == "__main__":
    main()
