"""The writer: one thread and one connection a process that group-commits whatever has gathered.

There is no timer: at low load an intent is committed at once, at high load a commit an intent becomes a commit a batch.

    gather → apply → commit → answer
               │
               ├ connection lost, deadlock, no space (08, 40, 53, 57P)  → the same batch again, on a new connection
               ├ data error (22, 23, a faulty statement)               → halves, down to the guilty one, which is told
               └ a row is locked (55P03)                               → halves, down to the one, which goes alone elsewhere
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from queue import Empty, SimpleQueue

import psycopg
import structlog

from broker.database import Database, without_values
from broker.eager import EagerConnection
from broker.errors import JournalError
from broker.journal.batch import BEAT, Batch
from broker.journal.intents import Answer, Intent, Outgoing, Record

log = structlog.get_logger(__name__)

Settle = Callable[[Answer | BaseException], None]

BATCH_SIZE = 256
"""Intents in one commit: past this the gain is gone (31-47 µs an intent at 50) and one bad intent costs more to find."""
QUEUE_SIZE = 10_000
"""Intents waiting before a submitter is made to wait."""
LOOK_FOR_ROOM = 0.01
"""Seconds between its looks: some commits' time."""
_REPEAT = ("08", "40", "53", "57P", "25P03", "25006")
"""SQLSTATEs of a server in trouble: lost, deadlocked, full, shutting down, timed out idle, read-only. Not 57014 and the rest of
25: a statement that takes too long or may not run in a transaction would be repeated for ever."""
_TIMED_OUT = "57014"
_LOCKED = "55P03"
BLAME_AFTER = 4
"""Repeats on a server that answers, before an author's statement is suspected: some 0.4 s, longer than a deadlock or a failover's
last gasp."""


class Journal:
    """Submit intents from any thread; each is answered once, after its commit. `close` commits what is left."""

    def __init__(
        self, database: Database, batch: Batch, *, on_crash: Callable[[], None] | None = None
    ) -> None:
        self._database = database
        self._batch = batch
        # A SimpleQueue hands over without Python's own locks: a condition cost a step 40 µs of waking and waiting.
        self._inbox: SimpleQueue[tuple[Intent, Settle] | None] = SimpleQueue()
        self._door = threading.Lock()
        self._closing = False
        self._ended = False
        self._connection: psycopg.Connection | None = None
        self._on_crash = on_crash or (lambda: os._exit(70))
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._outage = False

    def start(self) -> None:
        self._thread.start()

    def submit(self, intent: Intent, settle: Settle) -> None:
        """Hand over an intent. `settle` is called in the journal's thread and must not block.

        Waits only when QUEUE_SIZE intents are waiting already, and never in the journal's own thread. Raises JournalError
        after `close`.
        """
        own = threading.current_thread() is self._thread
        while not (own or self._closing) and self._inbox.qsize() >= QUEUE_SIZE:
            time.sleep(LOOK_FOR_ROOM)
        with self._door:
            if self._closing and not own:
                raise JournalError("the journal is closed: this process is stopping")
            self._inbox.put((intent, settle))

    def ask(self, intent: Intent) -> "Future[Answer]":
        """Submit and get a future: the answer, or JournalError with PostgreSQL's error as its cause."""
        future: Future[Answer] = Future()

        def settle(answer: Answer | BaseException) -> None:
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        self.submit(intent, settle)
        return future

    def close(self, timeout: timedelta = timedelta(seconds=10)) -> None:
        """Commit what is waiting, then stop. What is not committed in time is not answered: its runs are taken over."""
        with self._door:
            self._closing = True
            self._inbox.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout.total_seconds())

    def _run(self) -> None:
        try:
            while (gathered := self._gather()) is not None:
                self._commit(gathered, repeated=False)
        except BaseException:
            log.exception("journal_crashed")
            self._on_crash()
        finally:
            if self._connection is not None:
                self._connection.close()

    def _gather(self) -> list[tuple[Intent, Settle]] | None:
        """What has gathered; empty after a second of silence (time to beat); None when closed and empty."""
        gathered: list[tuple[Intent, Settle]] = []
        with suppress(Empty):
            pair = self._inbox.get(block=not self._ended, timeout=BEAT.total_seconds())
            while pair is not None:
                gathered.append(pair)
                if len(gathered) == BATCH_SIZE:
                    return gathered
                pair = self._inbox.get_nowait()
            self._ended = True
        return None if self._ended and not gathered else gathered

    def _commit(self, pairs: Sequence[tuple[Intent, Settle]], *, repeated: bool) -> None:
        """Commit one batch, whatever it takes; every intent is answered when this returns, or has gone alone."""
        pause, tries = 0.05, 0
        while True:
            try:
                connection = self._connected()
                answers, leaving = self._batch.apply(
                    connection, [intent for intent, _ in pairs], repeated=repeated
                )
            except Exception as error:
                tries += 1
                blamed = self._blames_a_write(pairs, tries) or (tries >= BLAME_AFTER and self._answers(error))
                if blamed or not _to_be_repeated(error, self._connection):
                    return self._divide(pairs, error, repeated=repeated)
                repeated = True
                self._lost(error)
                time.sleep(pause)
                pause = min(pause * 2, 2.0)
                if self._closing and pause >= 2.0:
                    log.error("journal_closed_during_outage", unanswered=len(pairs))  # noqa: TRY400  told before
                    return None
            else:
                self._outage = False
                return self._answer(pairs, answers, leaving)

    def _blames_a_write(self, pairs: Sequence[tuple[Intent, Settle]], tries: int) -> bool:
        """A server that answers, and still refuses with a state of trouble: an author's statement may have raised it itself
        (a foreign table whose server is away), so after a few repeats its record is told apart from the others."""
        answers = self._connection is not None and not self._connection.broken
        return tries >= BLAME_AFTER and answers and any(_has_writes(intent) for intent, _ in pairs)

    def _answers(self, error: Exception) -> bool:
        """Whether an error without a state came over a connection that still stands, again and again: then it hides a data error
        (psycopg tells of an aborted pipeline before it tells why)."""
        stateless = not isinstance(error, psycopg.Error) or error.sqlstate is None
        return stateless and self._connection is not None and not self._connection.closed

    def _divide(self, pairs: Sequence[tuple[Intent, Settle]], error: Exception, *, repeated: bool) -> None:
        state = error.sqlstate if isinstance(error, psycopg.Error) else None
        if len(pairs) > 1:
            middle = len(pairs) // 2
            self._commit(pairs[:middle], repeated=repeated)
            self._commit(pairs[middle:], repeated=repeated)
        elif not pairs:
            log.warning("heartbeat_refused", error=type(error).__name__)
        elif state == _LOCKED and isinstance(pairs[0][0], Record):
            alone = threading.Thread(
                target=self._commit_alone,
                args=(pairs[0],),
                kwargs={"repeated": repeated},
                name="journal-alone",
                daemon=True,
            )
            alone.start()
        elif state == _LOCKED or (state == _TIMED_OUT and not _has_writes(pairs[0][0])):
            # A claim waits for another's commit or for a limit's row: both are held for one short transaction.
            self._inbox.put(pairs[0])
        else:
            pairs[0][1](_refusal(error))

    def _commit_alone(self, pair: tuple[Intent, Settle], *, repeated: bool) -> None:
        """An intent that waits for somebody's row lock, on a connection of its own, so that nobody waits with it."""
        intent, settle = pair
        pause = 0.05
        while True:
            try:
                with self._database.connect(f"alone {self._batch.identity.name}") as connection:
                    connection.execute("set lock_timeout to '30s'")
                    answers, leaving = self._batch.apply(connection, [intent], repeated=repeated, alone=True)
                return self._answer([pair], answers, leaving)
            except Exception as error:
                locked = isinstance(error, psycopg.Error) and error.sqlstate == _LOCKED
                if not (_to_be_repeated(error, None) or locked):
                    return settle(_refusal(error))
                if self._closing:
                    return None  # its run is taken over once this process is gone
                repeated = True
                log.warning("journal_alone_repeats", error=without_values(error))
                time.sleep(pause)
                pause = min(pause * 2, 2.0)

    def _answer(
        self,
        pairs: Sequence[tuple[Intent, Settle]],
        answers: Sequence[tuple[Intent, Answer]],
        leaving: Sequence[Outgoing],
    ) -> None:
        by_intent = {id(intent): answer for intent, answer in answers}
        for intent, settle in pairs:
            settle(by_intent[id(intent)])
        if leaving:
            self._batch.outbox.committed(leaving)

    def _connected(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = self._database.connect(
                f"journal {self._batch.identity.name}", kind=EagerConnection
            )
            # A batch is small; whatever takes longer is a server in trouble, and the batch is repeated. A row that
            # somebody holds is not waited for longer than this: that record has to go alone.
            self._connection.execute("set statement_timeout to '30s'")
            self._connection.execute("set lock_timeout to '100ms'")
        return self._connection

    def _lost(self, error: Exception) -> None:
        if not self._outage:
            log.warning("journal_interrupted", error=without_values(error))
        self._outage = True
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _refusal(error: Exception) -> JournalError:
    failure = JournalError(f"PostgreSQL refused it: {without_values(error)}")
    failure.__cause__ = error
    return failure


def _has_writes(intent: Intent) -> bool:
    """Whether statements of an author's are among it: only those may be to blame for a timeout."""
    return isinstance(intent, Record) and intent.end is not None and bool(intent.end.writes)


def _to_be_repeated(error: Exception, connection: psycopg.Connection | None) -> bool:
    """What has no state, or comes over a connection that is lost, says nothing of the intents: the commit may have happened, and
    to refuse them would leave runs that nobody performs (seen with sessions that were ended under load: the connection did not
    count as closed yet)."""
    if connection is not None and connection.closed:
        return True
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate.startswith(_REPEAT)
