"""What every verb of a run decides, without any I/O: which result is known, what is to be recorded, what must be refused.

open_step → known value            (an earlier attempt finished it)
          → OpenStep ─ body ─ close_step → StepRow to record
                            └ fail_step  → StepRow to record and what to raise
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from broker.backoff import Backoff, next_delay
from broker.codec import MAX_BYTES, encode
from broker.errors import ConfigurationError, StepFailed
from broker.journal.claimed import ClaimedRun, StoredStep
from broker.journal.intents import Broadcast, End, Outgoing, StepRow
from broker.run.broadcasts import broadcast_of
from broker.run.results import read_result, split, write_result
from broker.signals import Fenced, Suspended
from broker.sizes import SOFT_BYTES, remark
from broker.telling import describe
from broker.waiting import QueueOf, name_of_queue
from schemas import Envelope, Event, derived, wrap


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
        self.waits_for = tuple(waits_for)
        self.queue_of = queue_of
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
            return Known(read_result(stored, fn, f"{self.claimed.actor} step {name!r}"))
        if stored.status == "failed":
            raise StepFailed(name, stored.tries, stored.error or "")
        if (left := self.left_of(stored)) > timedelta(0):
            raise self.suspend(left, f"step {name!r} retries")
        return self._opened(name, occurrence, stored.tries + 1)

    def close_step(self, step: OpenStep, value: object, fn: Callable[..., Any] | None) -> StepRow:
        """Raises ConfigurationError if the value is not what `fn`'s annotation says or is no JSON."""
        self._open.discard(step.name)
        return self._row(
            step, "done", result=write_result(value, fn, f"{self.claimed.actor} step {step.name!r}")
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
        value, events = split(returned, self.claimed.actor)
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

    def caused(self, event: Event, id: UUID, subject: str | None = None) -> Envelope:
        """An event's envelope, as this run's event has caused it."""
        cause = self.claimed.envelope
        traceparent, tracestate = self.traced(type(event).event_type, id)
        return wrap(
            event,
            source=self.source,
            id=str(id),
            subject=subject or cause.subject,
            correlation_id=cause.correlation_id,
            causation_id=cause.id,
            traceparent=traceparent,
            tracestate=tracestate,
        )

    def _publish(self, event: Event, delay: timedelta | None, subject: str | None) -> UUID:
        kind, claimed = type(event), self.claimed
        if not isinstance(event, Event) or not hasattr(kind, "event_type"):  # type: ignore[redundant-expr]
            raise ConfigurationError(
                f"{claimed.actor}: publish takes an Event with a type=, not {kind.__name__}"
            )
        position = self._published[kind.event_type]
        self._published[kind.event_type] += 1
        id = derived(claimed.id, claimed.rerun, kind.event_type, position)
        envelope = self.caused(event, id, subject)
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
