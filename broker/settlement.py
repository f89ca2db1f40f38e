"""How an outcome reaches the journal: bounded in number, and never left unsaid."""

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial

import structlog

from broker.errors import JournalError
from broker.failures import Failures
from broker.journal.claimed import ClaimedRun
from broker.journal.intents import Answer, DeadLetter, End, FailedAttempt, Record
from broker.journal.writer import Journal
from broker.patience import UNREAD, Patience
from broker.work import Work

log = structlog.get_logger(__name__)

AGAIN_SECONDS = 5.0
"""Between the tries to record the least that can be said of a run."""
HAND_BACK_SECONDS = 2.0
"""How long a stopping process waits for room to hand a run back."""


class Settlement:
    """Hands records over, at most `limit` at once without a commit. What PostgreSQL refuses becomes a failed attempt."""

    def __init__(self, journal: Journal, failures: Failures, limit: int, patience: Patience) -> None:
        self._journal = journal
        self._failures = failures
        self._room = threading.BoundedSemaphore(limit)
        self._limit = limit
        self._waits = patience
        self._patience: float | None = None
        self._out = 0
        self._lock = threading.Lock()
        self.failed: Callable[[Work, BaseException], Record] = _no_performer

    def full(self) -> bool:
        """Whether the next hand-over may have to wait: a coroutine then waits in a thread."""
        return self._out >= self._limit - 1

    def hurry(self) -> None:
        """The process stops: what finds no room soon is left to the takeover."""
        self._patience = HAND_BACK_SECONDS

    def settle(self, record: Record, work: Work) -> None:
        """Waits for room, never for the commit. Raises JournalError when the process stops and there is none."""
        if not self._room.acquire(timeout=self._patience):
            raise JournalError(
                f"run {work.claimed.id} is left to the takeover: PostgreSQL does not take records"
            )
        self._count(1)

        def settled(answer: Answer | BaseException) -> None:
            self._count(-1)
            self._room.release()
            if isinstance(answer, BaseException):
                self._refused(work, answer)

        self._journal.submit(record, settled)

    def orphan(self, claimed: ClaimedRun, then: Callable[[], None]) -> None:
        """A wake-up for a run whose actor this process does not know: it was removed, renamed without an alias, or is newer than
        this code."""
        pause = self._waits.pause(claimed.unread_for or timedelta(0))
        if pause is not None:
            end = End("queued", reason=UNREAD, delay=pause, unread=True)
            return self._journal.submit(
                Record(claimed.id, claimed.fence, end=end), partial(self._gone, claimed, then)
            )
        error = f"no actor is named {claimed.actor}: declare it again, or give its new name aliases=({claimed.actor!r},)"
        end = self._failures.given_up(claimed, "code changed", FailedAttempt("CodeChangedError", error))
        return self._journal.submit(
            Record(claimed.id, claimed.fence, end=end), partial(self._gone, claimed, then)
        )

    def _gone(self, claimed: ClaimedRun, then: Callable[[], None], answer: Answer | BaseException) -> None:
        then()
        if isinstance(answer, BaseException):
            self._say_least(claimed)

    def _refused(self, work: Work, error: BaseException) -> None:
        """A constraint, or a faulty statement of the author's: then the attempt has failed. If that is refused too, the least
        that can be said is recorded."""

        def failed(answer: Answer | BaseException) -> None:
            if isinstance(answer, BaseException):
                self._say_least(work.claimed)

        self._journal.submit(self.failed(work, error), failed)

    def _say_least(self, claimed: ClaimedRun) -> None:
        """A dead letter without anything of the run, again and again until PostgreSQL takes it: this worker lives, so nobody
        would take the run over. When the process ends, somebody does."""
        text = "PostgreSQL refused the outcome, and the failure too"
        letter = DeadLetter("cannot be recorded", text, queue=claimed.actor)
        record = Record(claimed.id, claimed.fence, end=End("failed", reason=letter.reason, dead=letter))

        def said(answer: Answer | BaseException) -> None:
            if isinstance(answer, BaseException):
                log.error(
                    "outcome_refused", run_id=str(claimed.id), error=str(answer), again_in=AGAIN_SECONDS
                )
                later = threading.Timer(AGAIN_SECONDS, self._say_least, (claimed,))
                later.daemon = True
                later.start()

        with suppress(JournalError):
            self._journal.submit(record, said)

    def _count(self, change: int) -> None:
        with self._lock:
            self._out += change


def _no_performer(work: Work, _error: BaseException) -> Record:
    raise JournalError(f"run {work.claimed.id}: no performer is set")
