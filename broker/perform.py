"""From a claimed run to its recorded outcome: read the event, run the body between the policies, classify, record.

claimed ─ read ─ body ─ classify ─ record
            │      │        └ completed | suspended | retried | dead
            └──────┴─ whatever is raised becomes an outcome; nothing is logged and dropped
"""

import asyncio
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta

from broker.broker import CallboardBroker
from broker.errors import CodeChangedError
from broker.failures import Failures
from broker.hidden import hide
from broker.journal.intents import DeadLetter, End, FailedAttempt, Record
from broker.middleware.backoff import Backoff, GiveUp
from broker.patience import Patience, Unread
from broker.run.asynchronous import AsyncRun
from broker.run.core import Core
from broker.run.synchronous import Run
from broker.run.tools import Tools
from broker.signals import Fenced, Postpone, Signal, Suspended, TimeLimitReached
from broker.telling import describe, storable
from broker.work import Work
from schemas import (
    Event,
    InvalidPayload,
    UnknownType,
    UnknownVersion,
)

Toolmaker = Callable[[Work], Tools]
Settle = Callable[[Record, Work], None]
"""Hands a record to the journal; may wait for room, never for the commit."""


class Performer:
    """Performs claimed runs. One a process, shared by its worker threads and its event loop."""

    def __init__(
        self,
        broker: CallboardBroker,
        *,
        source: str,
        tools: Toolmaker,
        settle: Settle,
        max_bytes: int,
        soft_bytes: int,
        patience: Patience,
        noted: Callable[[Work, End], None] = lambda *_: None,
    ) -> None:
        self._noted = noted
        self._broker = broker
        self._source = source
        self._max_bytes = max_bytes
        self._soft_bytes = soft_bytes
        self._failures = Failures(broker, source)
        self._tools = tools
        self._settle = settle
        self._patience = patience

    def perform(self, work: Work) -> None:
        """A sync body, in a worker thread. Re-raises the body's error after its outcome was handed over, for after-hooks."""
        work.thread, work.began = threading.get_ident(), time.monotonic()
        tools = self._tools(work)
        core = self._core(work)
        run = Run(core, tools)
        end: End | None = None
        try:
            event = self._read(work)
            hide(core.gathered)
            with ExitStack() as policies:
                self._enter(policies, work)
                returned = work.actor.fn(event, run)
            end = core.completed(returned)
        except BaseException as error:
            work.error, work.step = error, core.failed_step
            run.abandon_transaction()
            end = self._classify(work, error, core)
        self._finish(work, run, tools, end)
        _reraise(work.error)

    async def perform_async(self, work: Work, post: Callable[[Callable[[], None]], None]) -> None:
        """A coroutine, on the process's loop. It ends when its outcome is handed over."""
        work.began = time.monotonic()
        tools = self._tools(work)
        core = self._core(work)
        end: End | None = None
        try:
            event = self._read(work)
            hide(core.gathered)
            with ExitStack() as policies:
                self._enter(policies, work)
                returned = await work.actor.fn(event, AsyncRun(core, tools, post))  # type: ignore[misc]
            end = core.completed(returned)
        except BaseException as error:
            error = signal_in(error)
            work.error, work.step = error, core.failed_step
            end = self._classify(work, error, core)
        if end is not None:
            await asyncio.to_thread(self._record, work, end) if self._broker.records_full() else self._record(
                work, end
            )
        _reraise(work.error)

    def settle_unperformed(self, work: Work, error: BaseException | None) -> None:
        """A hook refused the run before its body was entered: a skip without an error, else a failed attempt."""
        work.error = error
        end = (
            End("skipped", reason="skipped by a middleware") if error is None else self._classify(work, error)
        )
        if end is not None:
            self._record(work, end)

    def settle_plainly(self, work: Work) -> None:
        """Its outcome cannot be put into words (describing it raised, twice): a dead letter all the same."""
        letter = DeadLetter(
            "cannot be recorded", "the outcome could not be described; see the log", queue=work.actor.name
        )
        self._record(work, End("failed", reason=letter.reason, dead=letter))

    def hand_back(self, work: Work) -> None:
        """Return an unstarted run: another worker may start it at once; no attempt is counted."""
        self._record(work, End("queued", reason="handed back", delay=timedelta(0)))

    def refused(self, work: Work, error: BaseException) -> Record:
        """The outcome could not be written (a constraint, a faulty statement of the author's): the attempt has failed."""
        work.error = error
        return Record(work.claimed.id, work.claimed.fence, end=self._failed(work, error))

    def _core(self, work: Work) -> Core:
        return Core(
            work.claimed,
            source=self._source,
            traced=self._broker.traced,
            max_bytes=self._max_bytes,
            soft_bytes=self._soft_bytes,
            waits_for=work.actor.waits_for,
            queue_of=self._broker.queue_to_invoke,
            cancelled=lambda: work.cancelled,
        )

    def _enter(self, policies: ExitStack, work: Work) -> None:
        for policy in self._broker.policies:
            policies.enter_context(policy.around(work))

    def _read(self, work: Work) -> Event:
        claimed = work.claimed
        if work.cancelled:
            raise Fenced(f"run {claimed.id} was cancelled before its body was entered")
        if claimed.event is not None:
            return claimed.event
        try:
            return claimed.read()
        except (UnknownType, UnknownVersion) as error:
            pause = self._patience.pause(claimed.unread_for or timedelta(0))
            if pause is not None:
                raise Unread(pause) from None
            raise CodeChangedError(f"the stored event is of no known type or version: {error}") from None
        except InvalidPayload as error:
            raise CodeChangedError(f"the stored event no longer fits: {error}") from None

    def _finish(self, work: Work, run: Run, tools: Tools, end: End | None) -> None:
        """Record, in the run's own transaction if its body opened one."""
        connection = run.open_transaction()
        if end is None:
            return
        if connection is None:
            return self._record(work, end)
        record = Record(work.claimed.id, work.claimed.fence, end=end)
        try:
            held = tools.record(connection, record)
        except Exception as error:
            # The commit may have happened. The record of the failure takes the run's row with a lock: if the run is completed,
            # it writes nothing.
            run.abandon_transaction()
            work.error = error
            self._record(work, self._failed(work, error))
            return self._broker.transaction_doubted(record)
        run.release_transaction()
        work.settled = True
        self._broker.transaction_recorded(record, held)
        self._noted(work, end)

    def _record(self, work: Work, end: End) -> None:
        if work.settled:
            return  # it was given up as stuck: that outcome stands
        work.settled = True
        self._settle(Record(work.claimed.id, work.claimed.fence, end=end), work)
        self._noted(work, end)  # last: what counts must not stand in the way of what is recorded

    def _classify(self, work: Work, error: BaseException, core: Core | None = None) -> End | None:
        """None for a run that is not ours any more: nothing of it may be written."""
        if isinstance(error, Fenced) or work.cancelled:
            work.settled = True
            work.error = (
                error if isinstance(error, Fenced) else Fenced(f"run {work.claimed.id} was cancelled")
            )
            return None
        if isinstance(error, Suspended) and core is not None:
            return core.waiting(error.reason)
        if isinstance(error, Unread):
            # Not waiting: whoever reads it has the limits of a start to ask for.
            return End("queued", reason=error.reason, delay=error.delay, unread=True)
        if isinstance(error, Suspended | Postpone):
            return End("waiting", reason=error.reason, delay=error.delay)
        return self._failed(work, error)

    def _failed(self, work: Work, error: BaseException) -> End:
        claimed = work.claimed
        decision = self._broker.policy(Backoff).decide(work.actor.policies, claimed.attempt, error)
        text = "time limit reached" if isinstance(error, TimeLimitReached) else describe(error)
        trace = storable("".join(traceback.format_tb(error.__traceback__))[-8000:])
        kind = type(error).__name__
        if not isinstance(decision, GiveUp):
            return End(
                "retrying",
                reason=text,
                delay=decision.delay,
                failure=FailedAttempt(kind, text, trace, work.step, decision.delay),
            )
        return self._failures.given_up(claimed, decision.reason, FailedAttempt(kind, text, trace, work.step))


def signal_in(error: BaseException) -> BaseException:
    """A signal that a task group has wrapped, or the error itself."""
    while isinstance(error, BaseExceptionGroup):
        signals = error.subgroup(Signal)
        error = (signals or error).exceptions[0]
        if signals is None:
            break
    return error


def _reraise(error: BaseException | None) -> None:
    if error is not None and not isinstance(error, Suspended | Postpone | Fenced):
        raise error
