"""What is examined: settings, what is loaded, and a connection to each server that answers. Nothing here can write."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict

from broker import Settings
from broker.broker import CallboardBroker
from broker.errors import CallboardError
from broker.history import WorkerRow, workers
from broker.links import is_here
from broker.topology import Topology, topology
from ops.boot import App, load
from ops.doctor import rabbit
from ops.doctor.rabbit import Rabbit
from ops.reach import broker_place, database_place, reason_of

_READ_ONLY = (
    "set default_transaction_read_only to on",
    # `run` has no index on its status: a look at a very large table gives up rather than weigh on the server.
    "set statement_timeout to '10s'",
)
_MADE = "select to_regclass('run') is not null"


@dataclass(slots=True)
class Patient:
    """`database` and `rabbit` are None where the server does not answer; `trouble` says why, by the name of what is lacking."""

    settings: Settings
    app: App = field(default_factory=App)
    topology: Topology = field(default_factory=lambda: topology("callboard", {}))
    database: Connection | None = None
    rabbit: Rabbit | None = None
    trouble: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def db(self) -> Connection:
        """For checks that need PostgreSQL, which are made only with it."""
        assert self.database is not None, "a check that needs PostgreSQL was made without"
        return self.database

    @property
    def amqp(self) -> Rabbit:
        """For checks that need RabbitMQ."""
        assert self.rabbit is not None, "a check that needs RabbitMQ was made without"
        return self.rabbit

    @property
    def on_rabbitmq(self) -> bool:
        return bool(self.settings.broker_urls)

    @property
    def workers(self) -> list[WorkerRow]:
        return workers(self.db)

    @property
    def alive(self) -> list[WorkerRow]:
        return [worker for worker in self.workers if worker.silent <= self.settings.lease]

    def one(self, statement: str, parameters: dict[str, object] | None = None) -> tuple[object, ...]:
        """The one row of a statement that always has one."""
        row = self.db.execute(statement.encode(), parameters).fetchone()
        assert row is not None
        return row


@contextmanager
def admitted(settings: Settings) -> Generator[Patient]:
    """A patient with whatever can be had; what cannot stands in `trouble` as `actors`, `postgresql`, `tables` or `rabbitmq`."""
    patient = Patient(settings, topology=topology(settings.namespace, {}))
    _load(patient)
    with ExitStack() as opened:
        _reach_database(patient, opened)
        _reach_rabbit(patient, opened)
        yield patient


def on_this_machine(settings: Settings) -> bool:
    """Whether the database is here: a socket or a loopback address."""
    try:
        parts = conninfo_to_dict(settings.database_url.get_secret_value())
    except psycopg.ProgrammingError:
        return True
    return is_here(str(parts.get("hostaddr") or parts.get("host") or ""))


def _load(patient: Patient) -> None:
    try:
        patient.app = load(patient.settings)
        broker = CallboardBroker(patient.settings.namespace, patient.app.middleware)
        broker.bind(patient.app.actors)
        patient.topology = broker.topology()
    except CallboardError as error:
        patient.trouble["actors"] = str(error)


def _reach_database(patient: Patient, opened: ExitStack) -> None:
    try:
        connection = opened.enter_context(patient.settings.database.once("doctor"))
        for statement in _READ_ONLY:
            connection.execute(statement.encode())
        patient.database = connection
        if not patient.one(_MADE)[0]:
            patient.trouble["tables"] = "the engine's tables"
    except CallboardError as error:
        patient.trouble["postgresql"] = str(error)
    except psycopg.Error as error:
        place = database_place(patient.settings)
        patient.trouble["postgresql"] = f"{place} cannot be used: {reason_of(error)}"
    if patient.database is None:
        patient.trouble["tables"] = "PostgreSQL"


def _reach_rabbit(patient: Patient, opened: ExitStack) -> None:
    if not patient.on_rabbitmq:
        return
    try:
        patient.rabbit = opened.enter_context(
            rabbit.connected(patient.settings.broker_urls, f"{patient.settings.namespace} doctor")
        )
    except CallboardError as error:
        patient.trouble["rabbitmq"] = f"{broker_place(patient.settings)} cannot be used: {reason_of(error)}"
