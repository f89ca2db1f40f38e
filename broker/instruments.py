"""The metrics that a worker process sends over OTLP, by the names of the messaging conventions where they have one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from opentelemetry.metrics import Counter, Histogram, Meter

from broker.journal.intents import End
from broker.work import Work

SHORT = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds; the boundaries that OpenTelemetry's conventions give for `messaging.process.duration`."""
LONG = (*SHORT, 30.0, 60.0, 300.0, 1800.0, 3600.0, 21600.0, 86400.0)
"""Of times that hold waits: a day is not rare."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What the catalogue says of one. `labels` are its attributes over OTLP; one in brackets is not on every point."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    labels: tuple[str, ...]
    text: str


_SYSTEM, _OPERATION, _ACTOR = "messaging.system", "messaging.operation.name", "messaging.destination.name"

DURATION = Metric(
    "messaging.process.duration",
    "histogram",
    "s",
    (_SYSTEM, _OPERATION, _ACTOR, "callboard.outcome", "[error.type]"),
    "An attempt, from the entry of its body to its outcome",
)
CONSUMED = Metric(
    "messaging.client.consumed.messages",
    "counter",
    "{message}",
    (_SYSTEM, _OPERATION, _ACTOR),
    "Attempts that have ended",
)
SENT = Metric(
    "messaging.client.sent.messages",
    "counter",
    "{message}",
    (_SYSTEM, "callboard.actor"),
    "Events that left runs",
)
CRITICAL = Metric(
    "callboard.critical_time",
    "histogram",
    "s",
    ("callboard.actor",),
    "From the publish of an event to the end of its run",
)
DEAD = Metric(
    "callboard.dead_letters",
    "counter",
    "{event}",
    ("callboard.actor", "callboard.reason"),
    "Runs that were given up",
)
EXPORTED = (DURATION, CONSUMED, SENT, CRITICAL, DEAD)


class Instruments:
    """One of each in EXPORTED."""

    def __init__(self, meter: Meter, system: str) -> None:
        self._system = system
        self._duration = _histogram(meter, DURATION, SHORT)
        self._critical = _histogram(meter, CRITICAL, LONG)
        self._consumed = _counter(meter, CONSUMED)
        self._sent = _counter(meter, SENT)
        self._dead = _counter(meter, DEAD)

    def note(self, work: Work, end: End, took: float, age: float | None) -> None:
        """An attempt has ended: `took` seconds of it, `age` from the publish where its run has ended with it."""
        actor = work.claimed.actor
        facts = {_SYSTEM: self._system, _OPERATION: "process", _ACTOR: actor}
        failed = {"error.type": end.failure.kind} if end.failure is not None else {}
        self._duration.record(took, {**facts, **failed, "callboard.outcome": end.status})
        self._consumed.add(1, facts)
        if age is not None:
            self._critical.record(age, {"callboard.actor": actor})
        if end.outgoing:
            self._sent.add(len(end.outgoing), {_SYSTEM: self._system, "callboard.actor": actor})
        if end.dead is not None:
            self._dead.add(1, {"callboard.actor": actor, "callboard.reason": end.dead.reason})


def _histogram(meter: Meter, metric: Metric, boundaries: Sequence[float]) -> Histogram:
    return meter.create_histogram(
        metric.name, metric.unit, metric.text, explicit_bucket_boundaries_advisory=boundaries
    )


def _counter(meter: Meter, metric: Metric) -> Counter:
    return meter.create_counter(metric.name, metric.unit, metric.text)
