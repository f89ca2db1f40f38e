"""What a run waits for, decided without I/O: which waits are over, which row opens a new one, which children it sends.

open → outcomes     (an earlier commit settled it: the event, the child's end or the moment is journaled)
     → StepRow      to record, then to leave the body
     → Suspended    it is open already
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from broker.codec import PARENT, encode
from broker.errors import ConfigurationError
from broker.journal.claimed import StoredStep
from broker.journal.intents import Outgoing, Part, StepRow
from broker.run.core import Core
from broker.signals import Suspended
from broker.waiting import Invocable, Outcome, Wait
from schemas import Event, derived

MOST_MEMBERS = 10_000
"""Of one wait: all of them are written in one commit, and their outcomes are one row in the end."""


class Waits:
    """The waits of one attempt."""

    __slots__ = ("_heard", "core")

    def __init__(self, core: Core) -> None:
        self.core = core
        self._heard: defaultdict[str, list[int]] = defaultdict(list)

    def open(
        self, name: str, waits: Sequence[Wait[Any]], *, needs_all: bool = False, at_once: int | None = None
    ) -> list[Outcome | None] | StepRow:
        """The outcomes, by place, or the row that begins the wait. Raises Suspended while it lasts, ConfigurationError for a
        wait that could never end."""
        core = self.core
        core.refuse_if_sealed(name)
        if not 1 <= len(waits) <= MOST_MEMBERS:
            raise ConfigurationError(
                f"{core.claimed.actor}, {name}: waits for {len(waits)}; give it 1 to {MOST_MEMBERS}"
            )
        occurrence = core.take(name)
        stored = core.claimed.steps.get((name, occurrence))
        if stored is None:
            return self._row(name, occurrence, waits, needs_all, at_once)
        if stored.status != "done":
            left = core.left_of(stored) if stored.due_in is not None else None
            raise core.suspend(left, f"waits in {name!r}", ((name, occurrence),))
        return self._settled(stored, len(waits))

    def left(self, row: StepRow) -> Suspended:
        """What to raise once the row is recorded."""
        return self.core.suspend(row.delay, f"waits in {row.name!r}", ((row.name, row.occurrence),))

    def awaits(self, kind: type[Event]) -> bool:
        return kind in self.core.waits_for

    def heard(self, kind: type[Event]) -> list[int]:
        return self._heard[kind.event_type]

    def _row(
        self,
        name: str,
        occurrence: int,
        waits: Sequence[Wait[Any]],
        needs_all: bool,
        at_once: int | None,
    ) -> StepRow:
        parts: list[Part] = []
        for place, wait in enumerate(waits):
            part = wait.part(_Opening(self, name, occurrence, place))
            held = at_once is not None and place >= at_once
            parts.append(replace(part, held=True) if held else part)
        delays = [part.delay for part in parts if part.delay is not None]
        moments = [part.at for part in parts if part.at is not None]
        return StepRow(
            name,
            occurrence,
            "waiting",
            self.core.claimed.attempt,
            timedelta(0),
            delay=min(delays, default=None),
            at=min(moments, default=None),
            parts=parts,
            needs_all=needs_all,
        )

    def _settled(self, stored: StoredStep, members: int) -> list[Outcome | None]:
        found: dict[str, Outcome] = json.loads(stored.result or "{}")
        for outcome in found.values():
            position, kind = outcome.get("position"), outcome.get("type")
            if isinstance(position, int) and isinstance(kind, str):
                self._heard[kind].append(position)
        return [found.get(str(place)) for place in range(members)]


@dataclass(frozen=True, slots=True)
class _Opening:
    """One place of a wait that is being opened."""

    waits: Waits
    name: str
    occurrence: int
    place: int

    @property
    def event(self) -> Event:
        return self.waits.core.event

    @property
    def actor(self) -> str:
        return self.waits.core.claimed.actor

    def since(self) -> datetime:
        return self.waits.core.claimed.envelope.time

    def heard(self, kind: type[Event]) -> list[int]:
        return self.waits.heard(kind)

    def awaits(self, kind: type[Event]) -> bool:
        return self.waits.awaits(kind)

    def child(self, actor: Invocable[Any, Any], event: Event) -> Outgoing:
        """The message that makes the child, straight to its actor's queue. Its id is the same for every attempt."""
        core = self.waits.core
        claimed = core.claimed
        queue = core.queue_of(actor)
        id = derived(claimed.id, claimed.rerun, "invoke", self.name, self.occurrence, self.place)
        message = encode(core.caused(event, id), queue, max_bytes=core.max_bytes)
        headers = {**message.headers, PARENT: str(claimed.id)}
        return Outgoing(id, replace(message, headers=headers, direct=True))
