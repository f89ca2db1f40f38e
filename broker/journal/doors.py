"""The doors of the journal: the policies that decide *when*, asked about a batch of runs inside its transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

from psycopg import Connection, Cursor

from broker.journal.intents import Answer, Claim, ClaimedRun, Declined, Resume
from broker.journal.records import columns
from schemas import Event

Asker = TypeVar("Asker", Claim, Resume)

_DECLINE = """
update run r
set status = d.status, reason = d.reason, worker = null, due_at = d.due_at, reserved_at = d.due_at,
    wake = case when d.due_at is not null then gen_random_uuid() end,
    attempt = case when d.fresh then 0 else r.attempt end,
    started_at = case when d.fresh then null else r.started_at end,
    finished_at = case when d.due_at is null then clock() end
from unnest(%b::uuid[], %b::text[], %b::text[], %b::timestamptz[], %b::bool[]) as d (id, status, reason, due_at, fresh)
where r.id = d.id"""


class Asked:
    """A run at the doors. A door calls `postpone` or `skip`, or lets it pass; the first refusal stands."""

    __slots__ = ("actor", "due_at", "event", "fresh", "reason", "reserved_at", "run_id", "status")

    def __init__(
        self, run_id: UUID, actor: str, event: Event, *, fresh: bool, reserved_at: datetime | None
    ) -> None:
        self.run_id = run_id
        self.actor = actor
        self.event = event
        self.fresh = fresh
        self.reserved_at = reserved_at
        self.status: str | None = None
        self.reason = ""
        self.due_at: datetime | None = None

    def postpone(self, due_at: datetime, reason: str) -> None:
        """Start no earlier than `due_at`; no attempt is counted."""
        self.status, self.reason, self.due_at = "waiting", reason, due_at

    def skip(self, reason: str) -> None:
        self.status, self.reason = "skipped", reason


class Doors(Protocol):
    """The policies that decide *when*, asked in their listed order inside the claim's transaction."""

    def guards(self, actor: str) -> bool:
        """Whether any door has a say in this actor's runs."""
        ...

    def read(self, run: ClaimedRun) -> Event | None:
        """The event of a resumed run, or None if it no longer validates (the attempt will say so)."""
        ...

    def ask(self, cursor: Cursor, asked: Sequence[Asked]) -> None: ...


def at_the_doors(
    connection: Connection, asked: Sequence[Asked], answers: list[tuple[Asker, Answer]], doors: Doors
) -> list[tuple[Asker, Answer]]:
    """Let the doors decide, write what they declined, and tell those askers."""
    if not asked:
        return answers
    doors.ask(connection.cursor(), asked)
    declined = {a.run_id: a for a in asked if a.status is not None}
    if not declined:
        return answers
    connection.execute(
        _DECLINE, columns([(a.run_id, a.status, a.reason, a.due_at, a.fresh) for a in declined.values()])
    )
    return [(intent, _verdict(answer, declined)) for intent, answer in answers]


def _verdict(answer: Answer, declined: Mapping[UUID, Asked]) -> Answer:
    if isinstance(answer, ClaimedRun) and (no := declined.get(answer.id)) is not None:
        return Declined("postponed" if no.status == "waiting" else "skipped", no.reason)
    return answer
