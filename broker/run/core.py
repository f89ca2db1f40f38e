"""What every verb of a run decides, without any I/O: which result is known, what is to be recorded, what must be refused.

open_step → known value            (an earlier attempt finished it)
          → OpenStep ─ body ─ close_step → StepRow to record
                            └ fail_step  → StepRow to record and what to raise
"""

import functools
import inspect
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, get_type_hints
from uuid import UUID

import psycopg
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from broker.backoff import Backoff, next_delay
from broker.codec import MAX_BYTES, encode
from broker.database import without_values
from broker.errors import CodeChangedError, ConfigurationError, InvalidEventError, StepFailed
from broker.journal.claimed import ClaimedRun, StoredStep
from broker.journal.intents import Broadcast, End, Outgoing, StepRow
from broker.outcomes import Result
from broker.run.broadcasts import broadcast_of
from broker.run.waits import QueueOf, Waits, name_of_queue
from broker.signals import Fenced, Suspended
from broker.sizes import SOFT_BYTES, remark
from schemas import Event, derived, wrap

_ADAPTERS: dict[object, TypeAdapter[Any]] = {}


@dataclass(slots=True)
class OpenStep:
    """A step whose body is running."""

    name: str
    occurrence: int
    tries: int
    began: float


@dataclass(frozen=True, slots=True)
class Known:
    """A step's result as an earlier attempt left it."""

    value: Any


class Core:
    """The state of one attempt. `traced` returns the traceparent and tracestate for a published event."""

    def __init__(
        self,
        claimed: ClaimedRun,
        *,
        source: str,
        traced: Callable[[str, UUID], tuple[str | None, str | None]],
        max_bytes: int = MAX_BYTES,
        soft_bytes: int = SOFT_BYTES,
        waits_for: Sequence[type[Event]] = (),
        queue_of: QueueOf = name_of_queue,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self.claimed = claimed
        self.waits = Waits(self, waits_for, queue_of)
        self.suspensions: list[Suspended] = []
        """Why the attempt leaves its body; several where parallel verbs wait."""
        self.cancelled = cancelled
        self.source = source
        self.max_bytes = max_bytes
        self.soft_bytes = soft_bytes
        self.traced = traced
        self.outgoing: list[Outgoing] = []
        self.broadcasts: list[Broadcast] = []
        self.writes: list[tuple[str, Mapping[str, object] | Sequence[object]]] = []
        self.sealed = ""
        self.failed_step: str | None = None
        """The step whose body failed last in this attempt."""
        self._seen: Counter[str] = Counter()
        self._open: set[str] = set()
        self._published: Counter[str] = Counter()
        self._began = time.monotonic()

    @property
    def event(self) -> Event:
        """What started the run; read before its body is entered."""
        assert self.claimed.event is not None  # the performer reads it first
        return self.claimed.event

    @property
    def gathered(self) -> Sequence[Event]:
        """All that started the run."""
        return self.claimed.gathered or (self.event,)

    # --- steps

    def open_step(self, name: str, fn: Callable[..., Any] | None) -> OpenStep | Known:
        """Raises StepFailed if it used up its retries before, Suspended if its next try is not due, CodeChangedError if its
        stored result no longer fits `fn`'s return annotation, ConfigurationError if the same name is open already."""
        self.refuse_if_sealed(f"step {name!r}")
        if name in self._open:
            raise ConfigurationError(
                f"step {name!r} is open already: give parallel steps names of their own, or use map"
            )
        occurrence = self.take(name)
        stored = self.claimed.steps.get((name, occurrence))
        if stored is None:
            return self._opened(name, occurrence, 1)
        if stored.status == "done":
            return Known(_read_result(stored, fn, f"{self.claimed.actor} step {name!r}"))
        if stored.status == "failed":
            raise StepFailed(name, stored.tries, stored.error or "")
        if (left := self.left_of(stored)) > timedelta(0):
            raise self.suspend(left, f"step {name!r} retries")
        return self._opened(name, occurrence, stored.tries + 1)

    def close_step(self, step: OpenStep, value: object, fn: Callable[..., Any] | None) -> StepRow:
        """Raises ConfigurationError if the value is not what `fn`'s annotation says or is no JSON."""
        self._open.discard(step.name)
        return self._row(
            step, "done", result=_write_result(value, fn, f"{self.claimed.actor} step {step.name!r}")
        )

    def fail_step(self, step: OpenStep, error: Exception, retry: Backoff | None) -> StepRow | None:
        """The row that keeps the step's own count, or None where the failure is the attempt's."""
        self._open.discard(step.name)
        self.failed_step = step.name
        if retry is None:
            return None
        delay = next_delay(retry, step.tries, error)
        status = "failed" if delay is None else "failing"
        return self._row(step, status, error=describe(error), delay=delay)

    def left_of(self, stored: StoredStep) -> timedelta:
        """What is left of a stored step's delay, counted from when the attempt began."""
        waited = timedelta(seconds=time.monotonic() - self._began)
        return (stored.due_in or timedelta(0)) - waited

    def sleep_row(self, name: str, duration: timedelta) -> StepRow | None:
        """None once the sleep is over; raises Suspended while it lasts; else the row that begins it."""
        self.refuse_if_sealed("sleep")
        occurrence = self.take(name)
        stored = self.claimed.steps.get((name, occurrence))
        if stored is None:
            return self._row(OpenStep(name, occurrence, 1, time.monotonic()), "waiting", delay=duration)
        if (left := self.left_of(stored)) > timedelta(0):
            raise self.suspend(left, f"sleeps in {name!r}")
        return None

    def take(self, name: str) -> int:
        """Which occurrence of this name it is. Raises ConfigurationError for a name that cannot be kept."""
        if not name or len(name.encode()) > 255 or "\0" in name:
            raise ConfigurationError(f"step name {name[:40]!r}: 1 to 255 bytes, no NUL")
        self._seen[name] += 1
        return self._seen[name] - 1

    def suspend(
        self, delay: timedelta | None, reason: str, awaits: tuple[tuple[str, int], ...] = ()
    ) -> Suspended:
        """What to raise, noted for the end of the attempt."""
        signal = Suspended(delay, reason, awaits)
        self.suspensions.append(signal)
        return signal

    def waiting(self, reason: str) -> End:
        """The end of an attempt that waits: it is due as soon as any of its verbs is."""
        delays = [signal.delay for signal in self.suspensions if signal.delay is not None]
        awaits = [step for signal in self.suspensions for step in signal.awaits]
        return End("waiting", reason=reason, delay=min(delays, default=None), awaits=awaits)

    # --- effects

    def write(self, statement: str, parameters: Mapping[str, object] | Sequence[object]) -> None:
        self.refuse_if_sealed("write")
        self.writes.append((statement, parameters))

    def publish(self, event: Event, *, delay: timedelta | None = None, subject: str | None = None) -> UUID:
        """The event's id: the same whenever this run publishes its n-th event of this type."""
        self.refuse_if_sealed("publish")
        return self._publish(event, delay, subject)

    def broadcast(self, channel: str, data: BaseModel | Mapping[str, object], name: str | None) -> None:
        """Raises ConfigurationError for a channel or name that cannot be, InvalidEventError for data that is no JSON object."""
        self.refuse_if_sealed("broadcast")
        self.broadcasts.append(broadcast_of(self.claimed.actor, channel, data, name))

    def seal(self, verb: str) -> None:
        """From here on every other verb is refused: the transaction is the last one."""
        self.refuse_if_sealed(verb)
        self.sealed = verb

    def refuse_if_sealed(self, verb: str) -> None:
        """Every verb begins here. Raises Fenced in a run that is cancelled, ConfigurationError after the last verb."""
        if self.cancelled():
            raise Fenced(f"run {self.claimed.id} was cancelled")
        if self.sealed:
            raise ConfigurationError(
                f"{self.claimed.actor}: {verb} after {self.sealed} of run {self.claimed.id}. A transaction is a run's last verb: "
                "move it to the end, or use run.step(…, transactional=True) before it."
            )

    def completed(self, returned: object) -> End:
        """The end of a run whose body returned. Raises ConfigurationError for a value that is neither event nor model."""
        value, events = _split(returned, self.claimed.actor)
        for event in events:
            self._publish(event, None, None)
        result = value.model_dump_json() if value is not None else None
        return End(
            "completed",
            result=result,
            writes=self.writes,
            outgoing=self.outgoing,
            broadcasts=self.broadcasts,
        )

    def idempotency_key(self, step: str, *parts: object) -> str:
        """The same for every attempt and every try of this step: hand it to providers that keep such keys."""
        return ":".join([str(self.claimed.id), str(self.claimed.rerun), step, *map(str, parts)])

    def _publish(self, event: Event, delay: timedelta | None, subject: str | None) -> UUID:
        kind, claimed = type(event), self.claimed
        if not isinstance(event, Event) or not hasattr(kind, "event_type"):  # type: ignore[redundant-expr]
            raise ConfigurationError(
                f"{claimed.actor}: publish takes an Event with a type=, not {kind.__name__}"
            )
        position = self._published[kind.event_type]
        self._published[kind.event_type] += 1
        id = derived(claimed.id, claimed.rerun, kind.event_type, position)
        traceparent, tracestate = self.traced(kind.event_type, id)
        envelope = wrap(
            event,
            source=self.source,
            id=str(id),
            subject=subject or claimed.envelope.subject,
            correlation_id=claimed.envelope.correlation_id,
            causation_id=claimed.envelope.id,
            traceparent=traceparent,
            tracestate=tracestate,
        )
        remark(envelope, self.soft_bytes, "published")
        self.outgoing.append(Outgoing(id, encode(envelope, max_bytes=self.max_bytes), delay))
        return id

    def _opened(self, name: str, occurrence: int, tries: int) -> OpenStep:
        self._open.add(name)
        return OpenStep(name, occurrence, tries, time.monotonic())

    def _row(
        self,
        step: OpenStep,
        status: str,
        *,
        result: str | None = None,
        error: str | None = None,
        delay: timedelta | None = None,
    ) -> StepRow:
        duration = timedelta(seconds=time.monotonic() - step.began)
        attempt = self.claimed.attempt
        return StepRow(
            step.name, step.occurrence, status, attempt, duration, step.tries, result, error, delay
        )


def describe(error: BaseException) -> str:
    """An error as it may be stored and shown: its type and message. pydantic's errors and PostgreSQL's are told
    without the values in them."""
    if isinstance(error, ValidationError):
        faults = "; ".join(
            f"{'.'.join(map(str, f['loc']))}: {f['msg']}"
            for f in error.errors(include_input=False, include_url=False)
        )
        return f"{error.title}: {faults}"[:2000]
    if isinstance(error, psycopg.Error) and error.diag.sqlstate is not None:
        return storable(f"{type(error).__name__}: {without_values(error)}")[:2000]
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return storable(text)[:2000]


def storable(text: str) -> str:
    """Text that PostgreSQL keeps: without NUL and lone surrogates, which errors carry from file names and foreign answers."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _adapter(fn: Callable[..., Any] | None) -> TypeAdapter[Any] | None:
    """For the function's return annotation; None where it has none (then the value must be plain JSON)."""
    if fn is None:
        return None
    function = inspect.unwrap(fn.func if isinstance(fn, functools.partial) else getattr(fn, "__func__", fn))
    code = getattr(
        function, "__code__", function
    )  # shared by all closures of one `def`, which come and go with their runs
    if code not in _ADAPTERS:
        annotation = (
            get_type_hints(function).get("return", Any) if hasattr(function, "__annotations__") else Any
        )
        _ADAPTERS[code] = TypeAdapter(annotation)
    return _ADAPTERS[code]


def _write_result(value: object, fn: Callable[..., Any] | None, where: str) -> str:
    try:
        adapter = _adapter(fn)
        text = (adapter.dump_json(value, warnings="error") if adapter else to_json(value)).decode()
    except (PydanticSerializationError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{where}: its result cannot be journaled ({type(error).__name__}); annotate the function's return type with what "
            "it returns: JSON values, pydantic models or dataclasses"
        ) from error
    if "\\u0000" in text:
        raise InvalidEventError(f"{where}: its result holds a NUL character, which PostgreSQL does not keep")
    return text


def _read_result(stored: StoredStep, fn: Callable[..., Any] | None, where: str) -> Any:
    adapter = _adapter(fn) or TypeAdapter(Any)
    try:
        return adapter.validate_json(stored.result or "null")
    except ValidationError as error:
        raise CodeChangedError(
            f"{where}: the stored result no longer fits its return type: {describe(error)}"
        ) from None


def _split(returned: object, actor: str) -> tuple[BaseModel | None, Iterable[Event]]:
    if returned is None:
        return None, ()
    if isinstance(returned, Event):
        return None, (returned,)
    if isinstance(returned, Result):
        return returned.value, returned.publish
    if isinstance(returned, BaseModel):
        return returned, ()
    if isinstance(returned, Sequence) and all(isinstance(item, Event) for item in returned):
        return None, returned
    raise ConfigurationError(
        f"{actor} returned {type(returned).__name__}: return an Event, a list of Events, a pydantic model, Result(…) or None"
    )
