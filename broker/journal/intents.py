"""What may be asked of the journal, as values. An intent may be applied again after an unanswered commit: tokens make it safe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from broker.journal.claimed import ClaimedRun, Json
from broker.transports.base import WireMessage
from schemas import Envelope, Event, uuid4, uuid7


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that leaves a commit. `delay` keeps it in the outbox until it is due."""

    id: UUID
    message: WireMessage
    delay: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that a step waits for: an `event` by its keys, a `child` by the id of its event, a `timer`."""

    kind: str
    what: str
    key: str = ""
    also: tuple[str, ...] = ()
    since: datetime | None = None
    """Events that were recorded earlier are not meant."""
    received: tuple[int, ...] = ()
    """Positions of the events that the run has had from earlier waits."""
    delay: timedelta | None = None
    at: datetime | None = None
    child: Outgoing | None = None
    held: bool = False
    """The child is not sent yet: the end of another one sends it."""


@dataclass(frozen=True, slots=True)
class StepRow:
    """One durable part of a run. `delay` is set for `failing` (its next try) and `waiting` (a sleep, or a wait's end)."""

    name: str
    occurrence: int
    status: str
    attempt: int
    duration: timedelta
    tries: int = 1
    result: Json | None = None
    error: str | None = None
    delay: timedelta | None = None
    at: datetime | None = None
    """When it is due, where that is a moment and no delay."""
    parts: Sequence[Part] = ()
    """What it waits for; the first to come ends it, unless it `needs_all`."""
    needs_all: bool = False


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """Why an attempt failed, and how long until the next. Texts carry no payload."""

    kind: str
    error: str
    trace: str | None = None
    step: str | None = None
    delay: timedelta | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What we stopped trying. With a run the event stands in its row; without, `body` and `headers` hold the raw message."""

    reason: str
    error: str
    id: UUID = field(default_factory=uuid7)
    queue: str | None = None
    event_id: str | None = None
    event_source: str | None = None
    event_type: str | None = None
    field: str | None = None
    step: str | None = None
    body: bytes | None = None
    headers: Mapping[str, str] | None = None
    content_type: str | None = None
    trace_id: str | None = None


@dataclass(frozen=True, slots=True)
class Broadcast:
    """What those who listen to a channel are to be told, with the commit of the run's end. `data` is a JSON object."""

    channel: str
    name: str
    data: Json


@dataclass(frozen=True, slots=True)
class End:
    """How an attempt leaves `running`. `delay` makes it due again; a run that waits without one is woken by something else."""

    status: str
    result: Json | None = None
    reason: str | None = None
    delay: timedelta | None = None
    writes: Sequence[tuple[str, Mapping[str, object] | Sequence[object]]] = ()
    outgoing: Sequence[Outgoing] = ()
    broadcasts: Sequence[Broadcast] = ()
    """In the order of the body; a repeat of the run's n-th one changes nothing."""
    failure: FailedAttempt | None = None
    dead: DeadLetter | None = None
    awaits: Sequence[tuple[str, int]] = ()
    """Steps (name, occurrence) that it waits for: it is due when the first of them is."""
    unread: bool = False
    """Its event is newer than this code: since when is kept."""


@dataclass(slots=True)
class Record:
    """Steps and, perhaps, the end of a run's attempt; written only while the fence holds."""

    run_id: UUID
    fence: int
    steps: Sequence[StepRow] = ()
    end: End | None = None
    token: UUID = field(default_factory=uuid4)
    wakes: list[Outgoing] = field(default_factory=list[Outgoing])
    """Wake-ups of other runs that left with this one, in a transaction of its own."""

    @property
    def outgoing(self) -> list[Outgoing]:
        """What leaves with its commit: invoked runs, and the events of the end."""
        invoked = [p.child for s in self.steps for p in s.parts if p.child is not None and not p.held]
        return [*invoked, *(self.end.outgoing if self.end is not None else ())]

    @property
    def locks(self) -> bool:
        """Whether the run's row must be held before anything else is written."""
        return bool(self.steps) or (self.end is not None and bool(self.end.writes))


@dataclass(slots=True)
class Claim:
    """One delivery's event for one actor."""

    actor: str
    envelope: Envelope
    event: Event
    digest: bytes
    queue: str = ""
    pipeline: str | None = None
    row_id: int | None = None
    aliases: tuple[str, ...] = ()
    """Names the actor had before: an event that ran under one of them has been done."""
    deadline: timedelta | None = None
    """How long the whole run may take."""
    parent_id: UUID | None = None
    """The run that invoked it."""
    run_id: UUID = field(default_factory=uuid7)
    token: UUID = field(default_factory=uuid4)

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.envelope.id, self.envelope.source, self.actor)


@dataclass(slots=True)
class Resume:
    """A wake-up: go on with a waiting run, if `wake` still is its current one."""

    run_id: UUID
    wake: UUID
    row_id: int | None = None
    token: UUID = field(default_factory=uuid4)


@dataclass(slots=True)
class Park:
    """A delivery that can be no run: a dead letter with the raw message."""

    letter: DeadLetter
    row_id: int | None = None


@dataclass(slots=True)
class Defer:
    """A delivery that only newer code can read: kept as a row, and offered to its queue again later."""

    outgoing: Outgoing
    row_id: int | None = None


@dataclass(slots=True)
class Hear:
    """An event of a type that somebody waits for: keep it, and give it to those who do."""

    envelope: Envelope
    keys: Sequence[str]
    row_id: int | None = None


@dataclass(slots=True)
class Sent:
    """Outbox rows whose messages are confirmed."""

    ids: Sequence[UUID]


@dataclass(slots=True)
class Unsent:
    """Outbox rows whose messages were not confirmed: the sweep is to send them again, now."""

    ids: Sequence[UUID]


Intent = Record | Claim | Resume | Park | Defer | Hear | Sent | Unsent


@dataclass(frozen=True, slots=True)
class Declined:
    """A claim or resume that is not ours to perform: `duplicate`, `postponed`, `skipped`, `failed` or `parked`."""

    status: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A record is committed. `held` False: the fence was lost and nothing of it was written. `child`: it ended a run that
    another one has invoked."""

    held: bool
    child: bool = False


Answer = ClaimedRun | Declined | Recorded
