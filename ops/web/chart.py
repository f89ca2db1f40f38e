"""A chain as bars on one axis of time: runs, and below each its steps, failed attempts, waits and dead letters."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from broker.history import RunRow, RunStory
from ops.cli.screen import one_line, took
from ops.cli.timeline import in_causal_order

THINNEST = 0.25
"""Percent of the axis: what took no time is seen all the same."""


@dataclass(frozen=True, slots=True)
class Bar:
    """`start` and `width` are percent of the axis."""

    kind: str
    start: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class Line:
    """One row: what it is about, its bars, and a note that may be an error."""

    kind: str
    depth: int
    name: str
    state: str
    length: str
    bars: Sequence[Bar]
    note: str = ""
    run: RunRow | None = None
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """`begins` and `lasts` say what the axis spans."""

    begins: datetime
    lasts: timedelta
    lines: Sequence[Line]
    marks: Sequence[tuple[float, str]] = field(default=())


@dataclass(frozen=True, slots=True)
class Axis:
    begins: datetime
    ends: datetime

    def bar(self, kind: str, start: datetime, end: datetime, what: str) -> Bar:
        left, right = self._percent(start), self._percent(end)
        width = max(right - left, THINNEST)
        return Bar(kind, round(min(left, 100 - width), 3), round(width, 3), f"{what}, {took(end - start)}")

    def _percent(self, moment: datetime) -> float:
        whole = max((self.ends - self.begins).total_seconds(), 0.001)
        return min(max((moment - self.begins).total_seconds() / whole * 100, 0.0), 100.0)


def draw(told: Sequence[RunStory], asked: Collection[UUID], moment: datetime) -> Chart:
    """All of a chain at a moment of the database's time. The runs `asked` for are marked."""
    runs = [story.run for story in told]
    ends = max(run.finished_at or moment for run in runs)  # a wait that goes on is cut off at the present
    axis = Axis(min(run.event_time for run in runs), ends)
    by_id = {story.run.id: story for story in told}
    lines = [
        line
        for run, depth in in_causal_order(runs)
        for line in _lines(by_id[run.id], depth, axis, moment, asked=run.id in asked)
    ]
    lasts = axis.ends - axis.begins
    marks = [(part * 25.0, took(lasts * part / 4) if part else "0") for part in range(5)]
    return Chart(axis.begins, lasts, lines, marks)


def _lines(told: RunStory, depth: int, axis: Axis, moment: datetime, *, asked: bool) -> Iterator[Line]:
    run = told.run
    end, begun = run.finished_at or moment, run.started_at or run.finished_at or moment
    bars = [axis.bar("queue", run.event_time, begun, "until its start")]
    if run.started_at is not None:
        bars.append(axis.bar(run.status, run.started_at, end, run.actor))
    lasted = took(run.lasted) if run.started_at is not None else ""
    yield Line("run", depth, run.actor, run.status, lasted, bars, _note(run), run, asked)
    parts = [*_steps(told, depth, axis, moment), *_attempts(told, depth, axis), *_letters(told, depth, axis)]
    for _, line in sorted(parts, key=lambda part: part[0]):
        yield line


def _note(run: RunRow) -> str:
    crashed = f"{run.crashes} crash(es) of its worker" if run.crashes else ""
    replayed = f"replayed {run.rerun} time(s)" if run.rerun else ""
    due = f"goes on in {took(run.due_in)}" if run.due_in is not None and run.due_in > timedelta(0) else ""
    return ", ".join(part for part in (one_line(run.reason or ""), due, crashed, replayed) if part)


def _steps(told: RunStory, depth: int, axis: Axis, moment: datetime) -> Iterator[tuple[datetime, Line]]:
    for step in told.steps:
        name = step.name if step.occurrence == 0 else f"{step.name} #{step.occurrence + 1}"
        bars = [axis.bar(f"step-{step.status}", step.started_at, step.finished_at, f"step {name}")]
        if step.status in ("waiting", "failing") and step.due_in is not None:
            until = told.run.finished_at or moment + step.due_in  # one that was cancelled waits no more
            bars.append(axis.bar("wait", step.finished_at, until, "waits"))
        tries = f"{step.tries} tries" if step.tries > 1 else ""
        over = step.due_in is not None and step.due_in <= timedelta(0)
        state = "" if step.status == "done" else "slept" if step.status == "waiting" and over else step.status
        note = ", ".join(part for part in (tries, one_line(step.error or "")) if part)
        yield step.started_at, Line("step", depth + 1, name, state, took(step.lasted), bars, note)


def _attempts(told: RunStory, depth: int, axis: Axis) -> Iterator[tuple[datetime, Line]]:
    """One begins when the wait after the one before is over; the first of a replay when somebody replayed it."""
    begins, rerun = told.run.started_at, 0
    for attempt in told.attempts:
        if attempt.rerun != rerun:
            rerun = attempt.rerun
            replays = [
                x.settled_at for x in told.letters if x.settled_at and x.settled_at < attempt.failed_at
            ]
            begins = max(replays, default=begins)
        start = min(begins or attempt.failed_at, attempt.failed_at)
        name = f"attempt {attempt.attempt}" + (f", replay {rerun}" if rerun else "")
        bars, state = [axis.bar("attempt", start, attempt.failed_at, name)], "gave up"
        if attempt.delay is not None:
            begins = attempt.failed_at + attempt.delay
            state = f"retry after {took(attempt.delay)}"
            bars.append(axis.bar("wait", attempt.failed_at, begins, "waits"))
        error = one_line(attempt.error)
        note = error if error.startswith(attempt.kind) else f"{attempt.kind}: {error}"
        yield start, Line("attempt", depth + 1, name, state, took(attempt.failed_at - start), bars, note)


def _letters(told: RunStory, depth: int, axis: Axis) -> Iterator[tuple[datetime, Line]]:
    for letter in told.letters:
        bars = [axis.bar("letter", letter.created_at, letter.created_at, letter.reason)]
        kind, state = ("settled", letter.settled_as) if letter.settled_as else ("letter", "open")
        note = f"{letter.reason}: callboard dead show {letter.id}"
        yield letter.created_at, Line(kind, depth + 1, "dead letter", state, "", bars, note)
