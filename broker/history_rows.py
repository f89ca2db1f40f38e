"""The rows that history tells, as values: one a table, with what a person asks of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

STATUSES = (
    "queued",
    "running",
    "waiting",
    "retrying",
    "completed",
    "skipped",
    "folded",
    "failed",
    "cancelled",
)
UNFINISHED = ("queued", "running", "waiting", "retrying")


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run. `lasted` is None until its first start; `due_in` is negative once it is due and has not been taken."""

    id: UUID
    event_id: str
    event_source: str
    event_type: str
    event_version: int
    event_time: datetime
    actor: str
    pipeline: str | None
    status: str
    reason: str | None
    attempt: int
    crashes: int
    rerun: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    due_at: datetime | None
    due_in: timedelta | None
    lasted: timedelta | None
    correlation_id: str
    causation_id: str | None
    trace_id: str | None
    worker: UUID | None
    event: dict[str, Any] | None = None
    """None in lists: only a run that was asked for by its own or its event's id comes with it and its result."""
    result: Any = None

    @property
    def finished(self) -> bool:
        return self.status not in UNFINISHED


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """A failed attempt. `delay` is what was waited before the next; None after the last."""

    attempt: int
    rerun: int
    failed_at: datetime
    kind: str
    error: str
    trace: str | None
    step: str | None
    delay: timedelta | None


@dataclass(frozen=True, slots=True)
class StepLine:
    """A durable part of a run, without its result."""

    name: str
    occurrence: int
    status: str
    tries: int
    attempt: int
    error: str | None
    started_at: datetime
    finished_at: datetime
    lasted: timedelta
    due_in: timedelta | None


@dataclass(frozen=True, slots=True)
class WaitLine:
    """What one step of a run still waits for. `open` tells some of its open members: a type and a key, or an actor and
    its run."""

    name: str
    occurrence: int
    members: int
    settled: int
    failed: int
    held: int
    due_at: datetime | None
    due_in: timedelta | None
    open: Sequence[str]

    def __str__(self) -> str:
        told = ", ".join(self.open) + (
            ", …" if self.members - self.settled - self.held > len(self.open) else ""
        )
        if self.members == 1:
            return f"for {told}"
        failed = f", {self.failed} failed" if self.failed else ""
        held = f", {self.held} not sent yet" if self.held else ""
        return f"{self.settled} of {self.members} done{failed}{held}, open: {told}"


@dataclass(frozen=True, slots=True)
class LetterLine:
    """A dead letter, without its event; `dead_letters.get_letter` has it whole."""

    id: UUID
    created_at: datetime
    reason: str
    queue: str | None
    actor: str | None
    run_id: UUID | None
    rerun: int
    event_type: str | None
    field: str | None
    step: str | None
    error: str
    settled_at: datetime | None
    settled_as: str | None


@dataclass(frozen=True, slots=True)
class OnTheWay:
    """A message that nobody has claimed: an `outbox` row, or a row in a `queue` of the `postgres` transport."""

    event_id: str
    queue: str
    place: str
    since: datetime
    due_in: timedelta | None
    held: bool
    event_type: str | None
    causation_id: str | None


@dataclass(frozen=True, slots=True)
class PlaceInLine:
    """Where a run stands that waits for a slot. `holders` are runs that have one, at most five."""

    key: str
    cap: int | None
    ahead: int
    holders: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class Gathering:
    """A run that still gathers events of its key. `due_in` is when it starts if none comes."""

    key: str
    members: int
    due_in: timedelta


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker process. `silent` is the age of its last heartbeat."""

    id: UUID
    name: str
    version: str
    started_at: datetime
    silent: timedelta
    runs: int


@dataclass(frozen=True, slots=True)
class RunStory:
    """One run with all that belongs to it. `next` are the runs that its event's actors caused."""

    run: RunRow
    attempts: Sequence[AttemptRow]
    steps: Sequence[StepLine]
    letters: Sequence[LetterLine]
    next: Sequence[RunRow]
    on_the_way: Sequence[OnTheWay]
    waits: Sequence[WaitLine] = ()
    folded: Sequence[RunRow] = ()
    """The last of the runs whose work it does too; `folded_count` are all of them."""
    folded_count: int = 0
