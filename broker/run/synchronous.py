"""`Run`: the verbs for actors written as plain functions. Each blocks until what it says is durable."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Literal, TypeVar, TypeVarTuple, overload

from psycopg import Connection

from broker.backoff import NO_RETRY, Backoff
from broker.errors import StepFailed
from broker.journal.intents import Record, Recorded, StepRow
from broker.journal.reply import Reply
from broker.outcomes import Failed, Ok
from broker.run.core import Core, Known, OpenStep
from broker.run.synchronous_waits import Waiting
from broker.run.tools import Tools
from broker.signals import Fenced, Suspended

T = TypeVar("T")
Item = TypeVar("Item")
Ts = TypeVarTuple("Ts")


class Run(Waiting):
    """One attempt of a run, in a worker thread. Verbs raise Fenced when the run has been taken from this worker."""

    __slots__ = ("_transaction",)

    def __init__(self, core: Core, tools: Tools) -> None:
        super().__init__(core, tools)
        self._transaction: Connection | None = None

    @overload
    def step(
        self,
        name: str,
        fn: Callable[[*Ts], T],
        *args: *Ts,
        retry: Backoff | None = None,
        transactional: Literal[False] = False,
    ) -> T: ...
    @overload
    def step(
        self,
        name: str,
        fn: Callable[[Connection, *Ts], T],
        *args: *Ts,
        retry: Backoff | None = None,
        transactional: Literal[True],
    ) -> T: ...
    def step(  # type: ignore[misc]  # an implementation cannot repeat the variadic
        self,
        name: str,
        fn: Callable[..., T],
        *args: Any,
        retry: Backoff | None = None,
        transactional: bool = False,
    ) -> T:
        """Run `fn(*args)` once: its result is committed before this returns, and a later attempt gets it without running `fn`.

        A body in flight at a crash runs again. With `retry` the step counts its own tries and raises StepFailed after the last;
        without, its error is the attempt's. `transactional` hands `fn` a connection first: its rows and the result commit
        together.
        """
        with self._tools.guard.paused():
            step = self._core.open_step(name, fn)
        if isinstance(step, Known):
            return step.value  # type: ignore[no-any-return]
        try:
            with self._tools.span(name):
                if transactional:
                    return self._in_transaction(step, fn, args)
                value = fn(*args)
        except Exception as error:
            self._failed(step, error, retry)
            raise
        with self._tools.guard.paused():
            self._record(self._core.close_step(step, value, fn))
        return value

    def map(
        self, name: str, fn: Callable[[Item], T], items: Sequence[Item], *, retry: Backoff | None = None
    ) -> list[Ok[T] | Failed]:
        """One durable step an item, one after the other, each with its own retries (`retry`; without it one try).

        Never raises for an item: the outcome of each is `Ok` or `Failed`, in the order of the items. Items that must wait for
        their next try do not hold up the others; then the run suspends until the first of them is due.
        """
        policy = retry or NO_RETRY
        outcomes: list[Ok[T] | Failed | None] = []
        waits: list[timedelta] = []
        for index, item in enumerate(items):
            try:
                outcomes.append(Ok(self.step(f"{name}[{index}]", fn, item, retry=policy)))
            except StepFailed as error:
                outcomes.append(Failed(error.error))
            except Suspended as signal:
                outcomes.append(None)
                waits.append(signal.delay or timedelta(0))
        if waits:
            raise self._core.suspend(min(waits), f"items of {name!r} retry")
        return [outcome for outcome in outcomes if outcome is not None]

    def sleep(self, duration: timedelta, *, name: str = "sleep") -> None:
        """Leave the worker and go on after `duration`, which is a row with a due time: it costs nothing and survives all."""
        with self._tools.guard.paused():
            row = self._core.sleep_row(name, duration)
            if row is not None:
                self._record(row)
                raise self._core.suspend(duration, f"sleeps in {name!r}")

    @contextmanager
    def transaction(self) -> Generator[Connection]:
        """For reading what one writes: the rows commit with the run's end and its events when the body has returned.

        It is the last verb of a run; any other verb inside or after it raises ConfigurationError. An exception rolls back.
        """
        guard = self._tools.guard
        with guard.paused():
            self._core.seal("transaction")
            connection = self._transaction = self._tools.pool.getconn()
            try:
                self._limit(connection)
                with guard.user_code():
                    yield connection
                self._unlimit(connection)
            except BaseException:
                self.abandon_transaction()
                raise

    def open_transaction(self) -> Connection | None:
        """The transaction that the run's end is to be written in, if its body opened one."""
        return self._transaction

    def abandon_transaction(self) -> None:
        """Drop the open transaction and its connection: after an interrupt nobody knows what state it is in."""
        if self._transaction is not None:
            self._transaction.close()
            self._tools.pool.putconn(self._transaction)
            self._transaction = None

    def release_transaction(self) -> None:
        """Give the connection back after the commit."""
        if self._transaction is not None:
            self._tools.pool.putconn(self._transaction)
            self._transaction = None

    def _in_transaction(self, step: OpenStep, fn: Callable[..., T], args: Sequence[Any]) -> T:
        guard, claimed = self._tools.guard, self._core.claimed
        with guard.paused():
            connection = self._tools.pool.getconn()
            try:
                self._limit(connection)
                with guard.user_code():
                    value = fn(connection, *args)
                row = self._core.close_step(step, value, fn)
                self._unlimit(connection)
                if not self._tools.record(connection, Record(claimed.id, claimed.fence, (row,))):
                    raise Fenced(f"run {claimed.id} is no longer this worker's")
                return value
            except BaseException:
                connection.close()
                raise
            finally:
                self._tools.pool.putconn(connection)

    def _limit(self, connection: Connection) -> None:
        """Begin the transaction, bounded by what is left of the time limit: an interrupt cannot reach a thread inside libpq."""
        left = self._tools.guard.deadline
        if left is not None:
            milliseconds = max(1, round(left.total_seconds() * 1000))
            connection.execute("select set_config('statement_timeout', %s, true)", (str(milliseconds),))

    def _unlimit(self, connection: Connection) -> None:
        """Limits end where our own record begins."""
        if self._tools.guard.deadline is not None:
            connection.execute("set local statement_timeout to 0")

    def _failed(self, step: OpenStep, error: Exception, retry: Backoff | None) -> None:
        with self._tools.guard.paused():
            row = self._core.fail_step(step, error, retry)
            if row is None:
                return
            self._record(row)
            if row.delay is not None:
                raise self._core.suspend(row.delay, f"step {step.name!r} retries") from error
            raise StepFailed(step.name, step.tries, row.error or "") from error

    def _record(self, row: StepRow) -> None:
        """Commit a step. Raises Fenced when the run is not ours any more, JournalError when PostgreSQL refuses the row."""
        claimed, reply = self._core.claimed, Reply()
        self._tools.ledger.submit(Record(claimed.id, claimed.fence, (row,)), reply.settle)
        answer = reply.wait()
        if not (isinstance(answer, Recorded) and answer.held):
            raise Fenced(f"run {claimed.id} is no longer this worker's")
