"""What most commands start with: settings, what is loaded, and a connection whose errors are told in one line."""

import logging
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import NoReturn

import psycopg
from psycopg import Connection

from broker import ConfigurationError, Publisher, Settings, load_settings
from broker.errors import CallboardError
from broker.middleware.trace import Trace
from broker.telemetry import Telemetry
from ops.boot import App, load, make_publisher, make_transport
from ops.reach import configure_logs, unreachable
from ops.worker_process import NOTHING_LOADED


def settings_of_command() -> Settings:
    """The environment's; logs of a command say only what went wrong."""
    settings = load_settings()
    configure_logs(settings, "warning")
    # A command says it itself, in words, when its event went to the outbox or nowhere.
    logging.getLogger("broker.transports.rabbitmq").setLevel(logging.ERROR)
    return settings


def end_as_by_ctrl_c() -> None:
    """SIGTERM, and a SIGINT that a shell's `&` has switched off, end the command as Ctrl-C does: what it started is stopped."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def loaded(settings: Settings) -> App:
    """Actors and pipelines. Raises ConfigurationError when there are none."""
    app = load(settings)
    if not app.actors:
        raise ConfigurationError(NOTHING_LOADED)
    return app


@contextmanager
def connected(settings: Settings) -> Generator[Connection]:
    """One autocommit connection. Raises UnreachableError, and ConfigurationError for a database without our tables."""
    try:
        with settings.database.once("cli") as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise unreachable(settings, error) from error
    except (
        psycopg.errors.UndefinedTable,
        psycopg.errors.UndefinedColumn,
        psycopg.errors.UndefinedFunction,
    ) as error:
        raise ConfigurationError(
            f"the database has no (or older) tables of ours in schema {settings.namespace!r}: run `callboard migrate`"
        ) from error


@contextmanager
def publishing(settings: Settings) -> Generator[Publisher]:
    """A publisher that falls back on the outbox, with traces sent before it is closed."""
    transport = make_transport(settings)
    telemetry = Telemetry(sample=settings.trace_sample)
    trace = Trace()
    trace.use(telemetry.tracer, system=transport.system, destination=f"{settings.namespace}.events")
    try:
        yield make_publisher(settings, transport, trace)
    finally:
        transport.close()
        telemetry.shutdown()


def confirmed(question: str, *, yes: bool) -> bool:
    """Ask a person; a script has to say --yes. Raises CallboardError when there is nobody to ask."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise CallboardError(f"{question} Nobody is there to answer: add --yes")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
