"""The engine of one process: everything that stands between a transport and an actor, joined and started in order.

transport ─ intake ─ journal ─ worker threads / event loop
                        │              │
                      keeper        journal ─ outbox ─ transport
"""

import secrets
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from uuid import UUID, uuid4

import psycopg
import structlog
from opentelemetry.metrics import Meter
from opentelemetry.trace import Tracer
from psycopg import Connection

from broker.bodies import Bodies
from broker.broker import CallboardBroker
from broker.cancel_sweep import Hearing
from broker.database import Database
from broker.doors import PolicyDoors
from broker.failures import Failures
from broker.intake import Intake
from broker.journal.batch import Batch, Identity, Outbox
from broker.journal.intents import Record, Sent, Unsent
from broker.journal.writer import Journal
from broker.keeping import keeper_of
from broker.lane import Lane
from broker.metrics import Metrics, MetricsSweep
from broker.middleware.pause import Pause
from broker.middleware.trace import Trace
from broker.outbox import StoredOutbox
from broker.patience import Patience, offer_now
from broker.perform import Performer
from broker.reading import Reader
from broker.run.tools import Tools
from broker.schedules.schedule import Schedule
from broker.settings import Settings
from broker.settlement import Settlement
from broker.transports.base import Transport
from broker.transports.postgres import PostgresTransport
from broker.transports.postgres.outbox import RoutedOutbox
from broker.work import Work

_RELEASE_OUTBOX = "update outbox set send_at = clock(), held_by = null where held_by = %s"
_SIGN_OFF = """
delete from worker w where w.id = %s
  and not exists (select from run r where r.id = any(w.live) and r.worker = w.id and r.status = 'running')"""

RECORDED_AT_ONCE = 256
"""Awaited events that are kept at once: a commit's worth. They need no slot, so busy bodies do not hold them up."""

log = structlog.get_logger(__name__)


class Engine:
    """Start it after the process has forked; `stop` finishes or hands back what runs. One a process."""

    def __init__(
        self,
        settings: Settings,
        broker: CallboardBroker,
        transport: Transport,
        *,
        queues: list[str] | None = None,
        pipelines: dict[tuple[str, str], str] | None = None,
        schedules: Sequence[Schedule] = (),
        name: str | None = None,
        tracer: Tracer | None = None,
        meter: Meter | None = None,
        claim_ahead: bool = True,
        on_crash: Callable[[], None] | None = None,
        knows: Sequence[str] = (),
    ) -> None:
        self._settings = settings
        self._broker = broker
        self._transport = transport
        self._topology = broker.topology()
        self._queues = queues if queues is not None else [*self._topology.queues, *self._topology.serving]
        self.database: Database = settings.database
        short = name or f"{socket.gethostname()}:{secrets.token_hex(3)}"
        self.identity = Identity(_worker_id(transport), short[-40:], secrets.randbits(62), _version(), knows)
        outbox = self._outbox()
        self._failures = Failures(broker, settings.source)
        self._batch = Batch(
            self.identity, PolicyDoors(broker, self._topology, self._failures.refused), outbox, self._topology
        )
        self.journal = Journal(self.database, self._batch, on_crash=on_crash)
        if isinstance(outbox, StoredOutbox):
            outbox.ledger = self.journal
        self._pool = self.database.pool(f"actors {self.identity.name}", settings.threads + 2)
        patience = Patience(settings.unknown_grace)
        metrics = Metrics(meter, transport.system)
        self._counted = MetricsSweep(metrics, self.identity.id)
        self._settlement = Settlement(self.journal, self._failures, settings.records_in_flight, patience)
        self._performer = Performer(
            broker,
            source=settings.source,
            tools=self._tools,
            settle=self._settlement.settle,
            max_bytes=settings.hard_event_bytes,
            soft_bytes=settings.soft_event_bytes,
            patience=patience,
            noted=metrics.note,
        )
        self._settlement.failed = self._performer.refused
        self._bodies = Bodies(broker, self._performer, self._settlement, settings.threads, self._batch.forget)
        reader = Reader(
            broker,
            self._topology,
            max_bytes=settings.hard_event_bytes,
            dedup_window=settings.dedup_window,
            pipelines=pipelines or {},
            patience=patience,
            soft_bytes=settings.soft_event_bytes,
        )
        self._intake = Intake(
            broker,
            self.journal,
            reader,
            self._bodies.perform,
            sync_lane=Lane(settings.threads * 2, ahead=True) if claim_ahead else Lane(settings.threads),
            async_lane=Lane(settings.async_slots),
            recorder=(self._topology.recorder, Lane(RECORDED_AT_ONCE)),
        )
        self.worn = self._bodies.worn
        self.keeper = keeper_of(
            settings,
            broker,
            transport,
            self.identity,
            bury=self._failures.crashed,
            hears=[Hearing(self.identity.id, self._bodies.cancel), broker.policy(Pause), self._counted],
            schedules=schedules,
        )
        self._stopped = False
        broker.policy(Trace).use(
            tracer, system=transport.system, destination=self._topology.events, resumed=settings.trace_resumed
        )
        broker.perform = self._performer.perform
        broker.records_full = self._settlement.full
        broker.transaction_recorded = self._transaction_recorded
        broker.transaction_doubted = self._transaction_doubted

    def start(self) -> None:
        """Connect, lock, then consume. Raises TransportUnavailableError or psycopg errors when something is not there."""
        self._pool.open()
        self.journal.start()
        self.keeper.start()
        self.keeper.ready.wait()
        # The first commit writes this worker's row: from here on others see it, and see it die.
        self.journal.ask(Sent(())).result()
        self._bodies.start(self._intake)
        prefetch = max(4 * self._settings.threads, 64)
        self._transport.subscribe(self._queues, self._intake, prefetch)
        with self.database.once("boot") as connection:
            offer_now(connection)
        log.info(
            "worker_started",
            worker=self.identity.name,
            queues=len(self._queues),
            threads=self._settings.threads,
        )

    def stop(self, grace: timedelta | None = None) -> bool:
        """Stop taking, finish or hand back, close. False if bodies were still running at the end of the grace: their runs are
        taken over as soon as this process is gone. May be repeated."""
        if self._stopped:
            return True
        self._stopped = True
        self._settlement.hurry()
        limit = grace if grace is not None else self._settings.grace
        self._transport.unsubscribe()
        self._intake.stop()
        done = self._bodies.finish(limit)
        self.journal.close()
        self.keeper.stop()
        self._transport.close()
        self._pool.close(timeout=2)
        if done:
            self._sign_off()
        return done

    @property
    def held(self) -> int:
        """Deliveries that have come and are not claimed yet."""
        return self._intake.held

    def _sign_off(self) -> None:
        """Leave nothing behind: no outbox row held, and no worker row, for without a lock it would be taken over as dead."""
        with suppress(psycopg.Error), self.database.once("sign-off") as connection:
            self._counted.flush(connection)
            connection.execute(_RELEASE_OUTBOX, (self.identity.id,))
            connection.execute(_SIGN_OFF, (self.identity.id,))

    def _outbox(self) -> Outbox:
        if isinstance(self._transport, PostgresTransport):
            return RoutedOutbox(self._transport, self._topology.unheard)
        return StoredOutbox(self._transport)

    def _tools(self, work: Work) -> Tools:
        return Tools(self.journal, work.guard, self._pool, self._write_record, self._broker.step_span)

    def _write_record(self, connection: Connection, record: Record) -> bool:
        held = self._batch.write_one(connection, record)
        if not held:
            self._batch.forget(record)
        return held

    def _transaction_recorded(self, record: Record, held: bool) -> None:
        """A run ended in its own transaction: send what left it, and forget the run."""
        self._batch.forget(record)
        leaving = [*record.outgoing, *record.wakes]
        if held and leaving:
            self._batch.outbox.committed(leaving)

    def _transaction_doubted(self, record: Record) -> None:
        """Its commit may have happened: rows that then left it are held by this worker, who does not know. The sweep is to send
        them now, not when the hold has passed."""
        outgoing = [*record.outgoing, *record.wakes]
        held = [out.id for out in outgoing if not out.delay]
        if held:
            self.journal.submit(Unsent(held), lambda _: None)


def _worker_id(transport: Transport) -> UUID:
    return transport.worker_id if isinstance(transport, PostgresTransport) else uuid4()


def _version() -> str:
    try:
        return version("callboard")
    except PackageNotFoundError:
        return "source"
