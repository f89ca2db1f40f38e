"""What one process counts: each attempt by actor and outcome, how long it took, how long its event waited, how long a run took.

    attempt ends ─ Metrics.note ─┬ a histogram here ─ a row of `worker_metrics` ─ `GET /metrics`, over all processes
                                 └ the SDK's instruments ─ OTLP, where an endpoint is set

Counting happens beside the work: an attempt costs some two microseconds, and an error in here reaches no run.
"""

import json
import threading
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from opentelemetry.metrics import Meter
from psycopg import Connection

from broker.instruments import LONG, SHORT, Instruments
from broker.journal.intents import End
from broker.work import Work

EVERY = timedelta(seconds=5)

PROCESS, QUEUE, CRITICAL, SENT = "process", "queue", "critical", "sent"
BOUNDARIES: Mapping[str, Sequence[float]] = {PROCESS: SHORT, QUEUE: LONG, CRITICAL: LONG}

Counts = dict[str, dict[str, list[float]]]
"""Kind → `actor` or `actor outcome` → [count, sum, then one for each bucket]; of `sent` the count alone."""

NOBODY = UUID(int=0)
"""The row of all processes that are gone."""

_FLUSH = """
insert into worker_metrics (worker, at, counts) values (%s, clock(), %s)
on conflict (worker) do update set at = excluded.at, counts = excluded.counts"""
_ROWS = "select worker, counts from worker_metrics"
_GONE = """
delete from worker_metrics m
where m.worker <> %s and m.at < clock() - interval '2 minutes' and not exists (select from worker w where w.id = m.worker)
returning counts"""
_HELD = "select counts from worker_metrics where worker = %s for update"


class Metrics:
    """One a process. Thread-safe."""

    def __init__(self, meter: Meter | None = None, system: str = "") -> None:
        self._lock = threading.Lock()
        self._counts: Counts = {kind: {} for kind in (PROCESS, QUEUE, CRITICAL, SENT)}
        self._exported = Instruments(meter, system) if meter is not None else None

    def note(self, work: Work, end: End) -> None:
        """An attempt has ended like this. Never raises for what it is given by the engine."""
        took = time.monotonic() - work.began if work.began else 0.0
        age = max(0.0, time.time() - work.claimed.envelope.time.timestamp())
        claimed, actor = work.claimed, work.claimed.actor
        first = claimed.attempt == 1 and not (claimed.steps or claimed.crashes or claimed.rerun)
        finished = end.status in ("completed", "failed")
        with self._lock:
            self._observe(PROCESS, f"{actor} {end.status}", took)
            if first:
                self._observe(QUEUE, actor, max(0.0, age - took))
            if finished:
                self._observe(CRITICAL, actor, age)
            if end.outgoing:
                cell = self._counts[SENT].setdefault(actor, [0.0])
                cell[0] += len(end.outgoing)
        if self._exported is not None:
            self._exported.note(work, end, took, age if finished else None)

    def counts(self) -> Counts:
        """A copy."""
        with self._lock:
            return {
                kind: {key: [*cell] for key, cell in cells.items()} for kind, cells in self._counts.items()
            }

    def _observe(self, kind: str, key: str, value: float) -> None:
        boundaries = BOUNDARIES[kind]
        cell = self._counts[kind].get(key)
        if cell is None:
            cell = self._counts[kind][key] = [0.0] * (len(boundaries) + 3)
        cell[0] += 1
        cell[1] += value
        cell[2 + bisect_left(boundaries, value)] += 1


class MetricsSweep:
    """Each keeper's: the process's row, every few seconds."""

    def __init__(self, metrics: Metrics, worker: UUID) -> None:
        self._metrics = metrics
        self._worker = worker
        self._next = 0.0
        self._last: Counts = {}

    def sweep(self, connection: Connection) -> int:
        """Raises psycopg errors; what was not written is in the next one."""
        return self.flush(connection) if time.monotonic() >= self._next else 0

    def flush(self, connection: Connection) -> int:
        """Now: the process stops."""
        self._next = time.monotonic() + EVERY.total_seconds()
        counts = self._metrics.counts()
        if counts == self._last:
            return 0
        connection.execute(_FLUSH, (self._worker, json.dumps(counts)))
        self._last = counts
        return 1


def retire(connection: Connection) -> int:
    """The leader's: add the rows of processes that are gone to the one that stands for them. One commit; returns how many."""
    with connection.transaction():
        held = connection.execute(_HELD, (NOBODY,)).fetchone()
        gone = [counts for (counts,) in connection.execute(_GONE, (NOBODY,)).fetchall()]
        if gone:
            together = added([*([held[0]] if held else []), *gone])
            connection.execute(_FLUSH, (NOBODY, json.dumps(together)))
    return len(gone)


def read(connection: Connection) -> Counts:
    """Of all processes, those that are gone too."""
    return added([counts for _, counts in connection.execute(_ROWS).fetchall()])


def added(rows: Sequence[Counts]) -> Counts:
    """Cell by cell. Another version's row may have other kinds or more buckets: what both have is added up."""
    found: Counts = {}
    for row in rows:
        for kind, cells in row.items():
            kept = found.setdefault(kind, {})
            for key, cell in cells.items():
                there = kept.get(key)
                kept[key] = [a + b for a, b in zip(there, cell, strict=False)] if there else [*cell]
    return found
