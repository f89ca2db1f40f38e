"""The doors of the journal: the policies that decide *when*, asked about a batch of runs inside its transaction.

They are asked once a batch, after every run of it is written: so runs are always locked before limits, and each limit's rows
once, in order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from psycopg import Connection

from broker.journal.claimed import ClaimedRun
from broker.journal.intents import Answer, Declined, End, Intent, Outgoing
from broker.journal.records import columns
from schemas import Event, uuid4

_DECLINE = """
update run r
set status = d.status, reason = d.reason, worker = null, folded_into = d.target,
    due_at = case when d.status = 'waiting' then least(d.due_at, r.deadline_at) end,
    reserved_at = case when d.reserved then d.due_at end,
    wake = d.wake, starting = d.start,
    attempt = case when d.fresh then 0 else r.attempt end,
    started_at = case when d.fresh then null else r.started_at end,
    finished_at = case when d.status <> 'waiting' then clock() end
from unnest(%b::uuid[], %b::text[], %b::text[], %b::timestamptz[], %b::uuid[], %b::bool[], %b::bool[],
            %b::bool[], %b::uuid[])
     as d (id, status, reason, due_at, wake, start, fresh, reserved, target)
where r.id = d.id"""


class Asked:
    """A run at the doors. A door calls `postpone`, `fold`, `skip`, `cancel` or `give_up`, or lets it pass; the first
    refusal stands.

    `start` is False for a run that goes on after a sleep: it has started before. `fresh` says that it never has.
    """

    __slots__ = (
        "actor", "claimed", "due_at", "event", "fresh", "into", "reason", "reserved", "reserved_at", "run_id", "start", "status",
        "wake",
    )  # fmt: skip

    def __init__(
        self,
        claimed: ClaimedRun,
        event: Event,
        *,
        start: bool = True,
        fresh: bool = True,
        reserved_at: datetime | None = None,
    ) -> None:
        self.claimed = claimed
        self.run_id = claimed.id
        self.actor = claimed.actor
        self.event = event
        self.start = start
        self.fresh = fresh
        self.reserved_at = reserved_at
        self.status: str | None = None
        self.reason = ""
        self.due_at: datetime | None = None
        self.reserved = False
        self.into: UUID | None = None
        self.wake: UUID = uuid4()
        """What wakes it if it is postponed."""

    def postpone(self, due_at: datetime | None, reason: str, *, reserved: bool = False) -> None:
        """Start no earlier than `due_at`, or when `wake` is sent; no attempt is counted. `reserved` says that this start is its
        own then: it comes again with it as `reserved_at`."""
        self.status, self.reason, self.due_at, self.reserved = "waiting", reason, due_at, reserved

    def fold(self, into: UUID) -> None:
        """It never starts: that run does its work."""
        self.status, self.reason, self.into = "folded", f"folded into run {into}", into

    def skip(self, reason: str) -> None:
        """It never starts, and that is no failure."""
        self.status, self.reason = "skipped", reason

    def cancel(self, reason: str) -> None:
        """It never starts: something else has taken its place."""
        self.status, self.reason = "cancelled", reason

    def give_up(self, reason: str) -> None:
        """It never starts: a dead letter."""
        self.status, self.reason = "failed", reason


@dataclass(frozen=True, slots=True)
class Left:
    """A run that ends, or leaves its worker, in this commit."""

    run_id: UUID
    status: str


class Doors(Protocol):
    """The policies that decide *when*, asked in their listed order inside the claim's transaction."""

    def guards(self, actor: str) -> bool:
        """Whether any door has a say in this actor's runs."""
        ...

    def minds(self, left: Sequence[Left]) -> bool:
        """Whether any door wants to know that runs have left."""
        ...

    def gathers(self, actor: str) -> int:
        """How many of the events that were folded into a run its body gets besides; 0 for an actor that gathers none, 1 for one
        that gets the last instead of its own."""
        ...

    def read(self, run: ClaimedRun) -> Event | None:
        """The event of a resumed run, or None if it no longer validates (the attempt will say so)."""
        ...

    def ask(self, connection: Connection, asked: Sequence[Asked], left: Sequence[Left]) -> list[Outgoing]:
        """Postpone or refuse what may not start now. Returns the wake-ups of others, which leave with this commit."""
        ...

    def given_up(self, claimed: ClaimedRun, reason: str) -> End:
        """The end of a run that a door gave up."""
        ...


def write_declined(connection: Connection, asked: Sequence[Asked]) -> None:
    """What the doors postponed, folded, skipped or cancelled. Those given up are recorded like any other end."""
    declined = [a for a in asked if a.status in ("waiting", "folded", "skipped", "cancelled")]
    if declined:
        rows = [
            (a.run_id, a.status, a.reason, a.due_at, a.wake if a.status == "waiting" else None, a.start, a.fresh, a.reserved,
             a.into)
            for a in declined
        ]  # fmt: skip
        connection.execute(_DECLINE, columns(rows))


def verdicts(answers: Sequence[tuple[Intent, Answer]], asked: Sequence[Asked]) -> list[tuple[Intent, Answer]]:
    """The answers, with what the doors have to say about them."""
    refused = {a.run_id: a for a in asked if a.status is not None}
    return [(intent, _verdict(answer, refused)) for intent, answer in answers]


def _verdict(answer: Answer, refused: Mapping[UUID, Asked]) -> Answer:
    if isinstance(answer, ClaimedRun) and (no := refused.get(answer.id)) is not None:
        return Declined("postponed" if no.status == "waiting" else str(no.status), no.reason)
    return answer
