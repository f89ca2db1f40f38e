"""A run that is ours to perform: its event or events, and what its earlier attempts have left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from schemas import Envelope, Event, validate

Json = str
"""JSON text."""


@dataclass(frozen=True, slots=True)
class Source:
    """An event that was gathered."""

    type: str
    version: int
    data: bytes
    traceparent: str | None
    tracestate: str | None


@dataclass(slots=True)
class StoredStep:
    """A step as an earlier attempt left it. `due_in` is what is left of its delay, by the database's clock."""

    status: str
    tries: int
    result: Json | None
    error: str | None
    due_in: timedelta | None


@dataclass(slots=True)
class ClaimedRun:
    """A run that is ours to perform."""

    id: UUID
    actor: str
    envelope: Envelope
    fence: int
    attempt: int
    event: Event | None = None
    """What its body gets, validated, or None: it is still to be `read`."""
    rerun: int = 0
    crashes: int = 0
    pipeline: str | None = None
    started_at: datetime | None = None
    steps: Mapping[tuple[str, int], StoredStep] = field(default_factory=dict[tuple[str, int], StoredStep])
    deadline_in: timedelta | None = None
    """What was left of the whole run's time when it was claimed or resumed."""
    unread_for: timedelta | None = None
    """How long its event has been newer than the code that took it up."""
    sources: Sequence[Source] = ()
    """Of a run that has gathered: the events for its body, in their order. Others have one, in `envelope`."""
    gathered: Sequence[Event] = ()
    """The sources, once they are read."""

    def read(self) -> Event:
        """The event that its body gets: of several the last. Raises what `validate` raises, for the first that does not fit."""
        if self.event is None:
            self.gathered = [
                validate(each.type, each.version, each.data) for each in self.sources or (self.envelope,)
            ]
            self.event = self.gathered[-1]
        return self.event
