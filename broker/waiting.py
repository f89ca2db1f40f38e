"""What a run may wait for, as values: `on(Event)`, `after(duration)`, `until(moment)`, `invocation(actor, event)`.

Handed to `run.wait_any` and `run.wait_all`; `run.wait_for` and `run.invoke` wait for one of them. Nothing here does I/O.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar, overload
from uuid import UUID

from pydantic import JsonValue, TypeAdapter, ValidationError
from pydantic_core import to_json

from broker.errors import CodeChangedError, ConfigurationError, InvokeFailed
from broker.journal.intents import Outgoing, Part
from broker.matching import Match, wanted_keys
from broker.policies import Policies
from schemas import Event, InvalidPayload, UnknownType, UnknownVersion, validate

E = TypeVar("E", bound=Event)
In = TypeVar("In", bound=Event, contravariant=True)
Value = TypeVar("Value", covariant=True)

Outcome = Mapping[str, JsonValue]
"""What became of one wait, as it is stored: `event`, `result`, `failed`, `elapsed` or `timed_out`."""


class Invocable(Generic[In, Value]):
    """An actor, as those know it who have a run of it for an event. `Value` is the result it gives."""

    name: str
    hears: tuple[type[Event], ...]
    policies: Policies
    result: TypeAdapter[Any]


QueueOf = Callable[[Invocable[Any, Any]], str]
"""The queue of an actor. Raises ConfigurationError for one that is not loaded."""


def name_of_queue(actor: Invocable[Any, Any]) -> str:
    """Where nothing is sent, as in a rehearsal."""
    return actor.name


@dataclass(frozen=True, slots=True)
class Elapsed:
    """A timer of `wait_any` or `wait_all` that has run out."""


class Opening(Protocol):
    """What a wait needs of the run that opens it."""

    @property
    def event(self) -> Event: ...
    @property
    def actor(self) -> str: ...
    def since(self) -> datetime: ...
    def heard(self, kind: type[Event]) -> list[int]: ...
    def awaits(self, kind: type[Event]) -> bool: ...
    def child(self, actor: Invocable[Any, Any], event: Event) -> Outgoing: ...


class Wait(ABC, Generic[Value]):
    """One thing to wait for. `Value` is what it gives."""

    __slots__ = ()

    @property
    @abstractmethod
    def name(self) -> str:
        """What the step is called if the author gives no name."""

    @abstractmethod
    def part(self, opening: Opening) -> Part:
        """The row to write. Raises ConfigurationError for what can never come."""

    @abstractmethod
    def read(self, outcome: Outcome, where: str) -> Value:
        """What has come. Raises CodeChangedError if it no longer fits the code, InvokeFailed for a child that did not do it."""


@dataclass(frozen=True, slots=True)
class _EventWait(Wait[Value]):
    kind: type[Event]
    match: Match
    since: datetime | None
    timeout: timedelta | None

    @property
    def name(self) -> str:
        return f"wait_for {self.kind.event_type}"

    def part(self, opening: Opening) -> Part:
        if not opening.awaits(self.kind):
            raise ConfigurationError(
                f"{opening.actor} waits for {self.kind.event_type} and does not say so: add "
                f"waits_for=[{self.kind.__name__}] to its @actor(…), so that the events are kept for it"
            )
        where = f"{opening.actor}, {self.name}"
        first, *also = wanted_keys(self.match, opening.event, self.kind, where)
        return Part(
            "event",
            self.kind.event_type,
            first,
            also=tuple(also),
            since=_aware(self.since, where) if self.since is not None else opening.since(),
            received=tuple(opening.heard(self.kind)),
            delay=self.timeout,
        )

    def read(self, outcome: Outcome, where: str) -> Value:
        if "timed_out" in outcome:
            return None  # type: ignore[return-value]  # only a wait with a timeout gives None
        event = read_event(outcome, where)
        if not isinstance(event, self.kind):
            raise CodeChangedError(f"{where}: the stored event is no {self.kind.__name__} any more")
        return event  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class _Timer(Wait[Elapsed]):
    delay: timedelta | None = None
    at: datetime | None = None

    @property
    def name(self) -> str:
        return "sleep"

    def part(self, opening: Opening) -> Part:
        return Part("timer", "timer", delay=self.delay, at=self.at)

    def read(self, outcome: Outcome, where: str) -> Elapsed:
        return Elapsed()


@dataclass(frozen=True, slots=True)
class Invocation(Wait[Value]):
    """A run of another actor for this event, and for nobody else's ears."""

    actor: Invocable[Any, Value]
    event: Event
    timeout: timedelta | None = None

    @property
    def name(self) -> str:
        return f"invoke {self.actor.name}"

    def part(self, opening: Opening) -> Part:
        if not isinstance(self.event, self.actor.hears):
            heard = ", ".join(kind.__name__ for kind in self.actor.hears)
            raise ConfigurationError(
                f"{opening.actor} invokes {self.actor.name} with {type(self.event).__name__}; it hears {heard}"
            )
        if (gathering := self.actor.policies.gathering) is not None:
            raise ConfigurationError(
                f"{opening.actor} invokes {self.actor.name}, which makes one run of many events ({gathering.word}): none of "
                "them has a result of its own; publish the event instead"
            )
        child = opening.child(self.actor, self.event)
        return Part("child", self.actor.name, str(child.id), delay=self.timeout, child=child)

    def read(self, outcome: Outcome, where: str) -> Value:
        if "timed_out" in outcome:
            raise InvokeFailed(self.actor.name, "timed out", "it had not ended in time; it goes on by itself")
        if "failed" in outcome:
            letter = outcome.get("letter")
            raise InvokeFailed(
                self.actor.name,
                str(outcome["failed"]),
                str(outcome.get("error") or ""),
                UUID(str(letter)) if letter else None,
            )
        try:
            adapter: TypeAdapter[Value] = self.actor.result
            return adapter.validate_json(to_json(outcome.get("result")))
        except ValidationError as error:
            faults = ", ".join(
                ".".join(map(str, fault["loc"])) for fault in error.errors(include_input=False)
            )
            raise CodeChangedError(
                f"{where}: the result of {self.actor.name} is not what it declares ({faults or 'as a whole'})"
            ) from None


@overload
def on(event: type[E], *, match: Match = None, since: datetime | None = None) -> Wait[E]: ...
@overload
def on(
    event: type[E], *, match: Match = None, since: datetime | None = None, timeout: timedelta
) -> Wait[E | None]: ...
def on(
    event: type[E], *, match: Match = None, since: datetime | None = None, timeout: timedelta | None = None
) -> Wait[E | None]:
    """An event of this type. `match` says which one, `since` from when on (default: since the event that started the run was
    published). With a `timeout` it gives None when nothing has come by then."""
    return _EventWait(event, match, since, _positive(timeout))


def after(duration: timedelta) -> Wait[Elapsed]:
    """A time from now."""
    return _Timer(delay=duration)


def until(moment: datetime) -> Wait[Elapsed]:
    """A moment, which must have a time zone. One in the past has come already."""
    return _Timer(at=_aware(moment, "until"))


def invocation(
    actor: Invocable[E, Value], event: E, *, timeout: timedelta | None = None
) -> Invocation[Value]:
    """A run of another actor. It gives the actor's result, or raises InvokeFailed."""
    return Invocation(actor, event, _positive(timeout))


def read_event(outcome: Outcome, where: str) -> Event:
    """The event of an outcome. Raises CodeChangedError."""
    version = outcome.get("version")
    try:
        return validate(
            str(outcome["type"]), version if isinstance(version, int) else 1, to_json(outcome["event"])
        )
    except (InvalidPayload, UnknownType, UnknownVersion, KeyError) as error:
        raise CodeChangedError(f"{where}: the stored event no longer fits: {error}") from None


def _aware(moment: datetime, where: str) -> datetime:
    if moment.tzinfo is None:
        raise ConfigurationError(f"{where}: give a datetime with a time zone, such as datetime.now(UTC)")
    return moment


def _positive(timeout: timedelta | None) -> timedelta | None:
    if timeout is not None and timeout <= timedelta(0):
        raise ConfigurationError(f"timeout={timeout}: must be positive")
    return timeout
