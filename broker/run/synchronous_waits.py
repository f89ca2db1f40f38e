"""The verbs of `Run` that wait: for a moment, an event, another actor's run, or several of these.
`asynchronous_waits.py` holds the same, awaited.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, overload

from broker.errors import InvokeFailed
from broker.journal.intents import StepRow
from broker.matching import Match
from broker.outcomes import Failed, Ok
from broker.run.facts import Facts
from broker.waiting import Invocable, Outcome, Wait, invocation, on, until
from schemas import Event

E = TypeVar("E", bound=Event)
V = TypeVar("V")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")


class Waiting(Facts, ABC):
    """What waits is a row: it holds no thread and no message, and survives whatever happens to the worker."""

    __slots__ = ()

    def sleep_until(self, moment: datetime, *, name: str = "sleep_until") -> None:
        """Go on at this moment, by the database's clock. It must have a time zone; one in the past is no wait."""
        wait = until(moment)
        if moment > datetime.now(UTC):
            self._wait(name, [wait])

    @overload
    def wait_for(
        self,
        event: type[E],
        *,
        match: Match = None,
        since: datetime | None = None,
        timeout: timedelta,
        name: str | None = None,
    ) -> E | None: ...
    @overload
    def wait_for(
        self, event: type[E], *, match: Match = None, since: datetime | None = None, name: str | None = None
    ) -> E: ...
    def wait_for(
        self,
        event: type[E],
        *,
        match: Match = None,
        since: datetime | None = None,
        timeout: timedelta | None = None,
        name: str | None = None,
    ) -> E | None:
        """The first event of this type that matches; None if none has come within `timeout`.

        `match` is a field that both events have (`"order_id"`), a pair (`("id", "order_id")`: ours, its), or the values that its
        fields must have (`{"payment_id": payment}`). Events count that were recorded `since` a moment, which is when the event
        that started the run was published; one that this run has had before does not. The type must be among the actor's
        `waits_for`.
        """
        wait: Wait[E | None] = on(event, match=match, since=since)
        if timeout is not None:
            wait = on(event, match=match, since=since, timeout=timeout)
        return self.wait_any(wait, name=name or wait.name)

    def invoke(
        self,
        actor: Invocable[E, V],
        event: E,
        *,
        timeout: timedelta | None = None,
        name: str | None = None,
    ) -> V:
        """Have another actor do this, and wait for its result: a run of its own, with its own retries, limits and timeline.

        Raises InvokeFailed when that run is given up, skipped or cancelled, or has not ended within `timeout`.
        """
        wait = invocation(actor, event, timeout=timeout)
        return self.wait_any(wait, name=name or wait.name)

    @overload
    def wait_any(self, first: Wait[A], /, *, name: str = ...) -> A: ...
    @overload
    def wait_any(self, first: Wait[A], second: Wait[B], /, *, name: str = ...) -> A | B: ...
    @overload
    def wait_any(
        self, first: Wait[A], second: Wait[B], third: Wait[C], /, *, name: str = ...
    ) -> A | B | C: ...
    @overload
    def wait_any(
        self,
        first: Wait[A],
        second: Wait[B],
        third: Wait[C],
        fourth: Wait[D],
        /,
        *rest: Wait[D],
        name: str = ...,
    ) -> A | B | C | D: ...
    def wait_any(self, *waits: Wait[Any], name: str = "wait_any") -> Any:
        """What comes first, of `on(…)`, `after(…)`, `until(…)` and `invocation(…)`. The others are not waited for any more."""
        outcomes = self._wait(name, waits)
        return next(
            self._read(name, *pair) for pair in zip(waits, outcomes, strict=True) if pair[1] is not None
        )

    @overload
    def wait_all(self, first: Wait[A], /, *, name: str = ...) -> tuple[A]: ...
    @overload
    def wait_all(self, first: Wait[A], second: Wait[B], /, *, name: str = ...) -> tuple[A, B]: ...
    @overload
    def wait_all(
        self, first: Wait[A], second: Wait[B], third: Wait[C], /, *, name: str = ...
    ) -> tuple[A, B, C]: ...
    @overload
    def wait_all(
        self, first: Wait[A], second: Wait[B], third: Wait[C], fourth: Wait[D], /, *, name: str = ...
    ) -> tuple[A, B, C, D]: ...
    def wait_all(self, *waits: Wait[Any], name: str = "wait_all") -> Any:
        """All of them, in their order. Raises InvokeFailed, once all have ended, if an invoked run has not done it."""
        outcomes = self._wait(name, waits, needs_all=True)
        return tuple(self._read(name, *pair) for pair in zip(waits, outcomes, strict=True))

    def fan_out(
        self,
        name: str,
        actor: Invocable[E, V],
        events: Sequence[E],
        *,
        at_once: int | None = None,
        timeout: timedelta | None = None,
    ) -> list[Ok[V] | Failed]:
        """A run of `actor` for each event, at most `at_once` together, and the outcome of each in their order.

        It always ends: a run that is dead-lettered, skipped or cancelled, or not over within `timeout`, is `Failed`; replaying it
        later changes nothing here. At most 10,000 events.
        """
        waits = [invocation(actor, event, timeout=timeout) for event in events]
        if not waits:
            return []
        outcomes = self._wait(name, waits, needs_all=True, at_once=at_once)
        return [self._outcome(name, *pair) for pair in zip(waits, outcomes, strict=True)]

    def _outcome(self, name: str, wait: Wait[V], outcome: Outcome | None) -> Ok[V] | Failed:
        try:
            return Ok(self._read(name, wait, outcome))
        except InvokeFailed as error:
            return Failed(": ".join(part for part in (error.reason, error.error) if part))

    def _read(self, name: str, wait: Wait[V], outcome: Outcome | None) -> V:
        return wait.read(outcome or {}, f"{self._core.claimed.actor}, {name}")

    def _wait(
        self, name: str, waits: Sequence[Wait[Any]], *, needs_all: bool = False, at_once: int | None = None
    ) -> list[Outcome | None]:
        with self._tools.guard.paused():
            opened = self._waits.open(name, waits, needs_all=needs_all, at_once=at_once)
            if isinstance(opened, StepRow):
                with self._tools.span(name):
                    self._record(opened)
                raise self._waits.left(opened)
            return opened

    @abstractmethod
    def _record(self, row: StepRow) -> None:
        """Commit a step."""
