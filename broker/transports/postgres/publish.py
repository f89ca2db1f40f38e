"""The publisher: one thread that commits what has gathered, repeats after a lost connection, and rings."""

import socket
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from datetime import timedelta

import psycopg
import structlog

from broker.database import Database
from broker.errors import PublishError
from broker.telling import describe
from broker.transports.base import WireMessage
from broker.transports.postgres.backoff import Backoff
from broker.transports.postgres.pending import Batch, Pending
from broker.transports.postgres.route import route

LOG = structlog.get_logger(__name__)

WATCH = timedelta(milliseconds=500)
"""How often deadlines are looked at: a tenth of the confirm timeout."""

REFUSALS = (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError)
"""What a repeat would not cure: the message, or a schema that is not migrated."""

# In one statement: what applies to the commit is set in the transaction, and a notification needs no flush.
NOTIFY = """
select set_config('synchronous_commit', 'off', true), pg_notify(%(channel)s, queue)
from unnest(%(queues)s::text[]) as queue
"""


class Publisher:
    """Starts with the first use. `heard` is told, on the thread, which queues a commit reached."""

    def __init__(
        self, database: Database, channel: str, unheard: str, heard: Callable[[Collection[str]], None]
    ) -> None:
        self.unheard = unheard
        self._database = database
        self._channel = channel
        self._heard = heard
        self._pending = Pending()
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()
        self._ended = threading.Event()
        self._connection: psycopg.Connection | None = None
        self._line: socket.socket | None = None
        self.backend_pid: int | None = None
        """Who sends our own notifications."""

    def publish(self, messages: Sequence[WireMessage]) -> "Future[None]":
        batch = Batch(tuple(messages))
        if not batch.messages:
            batch.future.set_result(None)
            return batch.future
        try:
            self._pending.add(batch)
        except PublishError as error:
            batch.future.set_exception(error)
        else:
            self._start()
        return batch.future

    def ring(self, queues: Collection[str]) -> None:
        """Tell other processes that these queues got rows. Coalesced; may be lost without harm: they poll."""
        if queues and not self._ended.is_set():
            self._pending.ring(queues)
            self._start()

    def close(self, timeout: timedelta) -> None:
        """Commit what waits, fail what cannot be committed in time."""
        self._pending.close()
        if self._threads:
            self._threads[0].join(timeout.total_seconds())
        self._ended.set()
        self._pending.fail_all()
        self._sever()

    def _start(self) -> None:
        if self._threads:
            return
        with self._starting:
            if self._threads:
                return
            threads = [
                threading.Thread(target=self._run, name="callboard publish", daemon=True),
                threading.Thread(target=self._watch, name="callboard publish watch", daemon=True),
            ]
            for thread in threads:
                thread.start()
            self._threads = threads

    def _run(self) -> None:
        while not self._ended.is_set():
            work = self._pending.next()
            if not work.group and not work.queues:
                break
            if work.queues:
                self._notify(work.queues)
            if work.group:
                self._commit(work.group)
        self._hang_up()

    def _watch(self) -> None:
        """End what is overdue, and cut the line of a statement that hangs: nothing else interrupts it."""
        while not self._ended.wait(WATCH.total_seconds()):
            if self._pending.fail_overdue():
                self._sever()

    def _commit(self, group: Sequence[Batch]) -> None:
        """Returns when every batch has ended. Repeats may insert twice: a publish is at least once."""
        backoff = Backoff()
        while group := [batch for batch in group if self._pending.is_open(batch)]:
            try:
                self._insert(group)
            except Exception as error:
                if not isinstance(error, psycopg.Error) or isinstance(error, REFUSALS):
                    self._bisect(group, error)
                    continue
                delay = backoff.next()
                LOG.warning(
                    "publisher.connection_lost", error=describe(error), retry_in=delay.total_seconds()
                )
                self._hang_up()
                self._ended.wait(delay.total_seconds())

    def _insert(self, group: Sequence[Batch]) -> None:
        messages = [message for batch in group for message in batch.messages]
        with self._dial().cursor() as cursor:
            queues = route(cursor, messages, self.unheard)
        self._heard(queues)
        self._pending.ring(queues)
        for batch in group:
            self._pending.finish(batch)

    def _bisect(self, group: Sequence[Batch], error: Exception) -> None:
        """Only the batch that PostgreSQL refuses fails; the order of the others stays."""
        if len(group) == 1:
            # The primary message alone, unchained: PostgreSQL quotes the value in its details.
            reason = (
                error.diag.message_primary if isinstance(error, psycopg.Error) else None
            ) or "not encodable"
            refusal = PublishError(f"refused, nothing of it was published: {type(error).__name__}: {reason}")
            self._pending.finish(group[0], refusal)
            return
        middle = len(group) // 2
        self._commit(group[:middle])
        self._commit(group[middle:])

    def _notify(self, queues: Collection[str]) -> None:
        try:
            self._dial().execute(NOTIFY, {"channel": self._channel, "queues": sorted(queues)})
        except psycopg.Error as error:
            LOG.warning("publisher.notify_failed", error=describe(error))
            self._hang_up()

    def _dial(self) -> psycopg.Connection:
        if self._connection is None:
            connection = self._database.connect("publish")
            # A descriptor of our own: another thread may shut it down and never meets a reused number.
            self._line = socket.socket(fileno=socket.dup(connection.fileno()))
            self.backend_pid = connection.info.backend_pid
            self._connection = connection
        return self._connection

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        line, self._line = self._line, None
        if line is not None:
            line.close()
        if connection is not None:
            connection.close()

    def _sever(self) -> None:
        line = self._line
        if line is None:
            return
        try:
            line.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # Already gone, which is what was wanted.
