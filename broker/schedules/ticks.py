"""Writing ticks: the row that says a slot was decided and the event of it, in the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import NAMESPACE_OID
from zoneinfo import ZoneInfo

from psycopg import Connection

from broker.journal.records import columns
from broker.publisher import Publisher
from broker.schedules.schedule import Schedule, Tick
from schemas import Event, derived

# Of two that decide the same slot the second waits for the first's commit here, and then writes nothing.
_WRITE = """
insert into schedule_tick (schedule, slot, kind, event_id, missed, at)
select t.schedule, t.slot, t.kind, t.event_id, t.missed, clock()
from unnest(%b::text[], %b::timestamptz[], %b::text[], %b::text[], %b::int[]) as t (schedule, slot, kind, event_id, missed)
on conflict (schedule, slot) do nothing
returning event_id"""


@dataclass(frozen=True, slots=True)
class Made:
    """A tick ready to be written. `event` is None for a skipped one; `missed` earlier slots were let go with it."""

    schedule: str
    slot: datetime
    kind: str
    event: Event | None
    missed: int = 0

    @property
    def event_id(self) -> str | None:
        """The same for the same slot, whoever ticks it."""
        return event_id(self.schedule, self.slot) if self.event is not None else None


def make(schedule: Schedule, slot: datetime, timezone: str, kind: str, missed: int = 0) -> Made:
    """With the event that the author wants for it. Raises whatever the author's function raises."""
    event = None
    if kind != "skipped":
        event = schedule.event(Tick(schedule.name, slot.astimezone(ZoneInfo(timezone))))
    return Made(schedule.name, slot, kind, event, missed)


def write(connection: Connection, publisher: Publisher, ticks: Sequence[Made], now: datetime) -> list[str]:
    """Returns the ids of the events that leave with the caller's commit; `now` is their time, by the database's clock.

    Raises psycopg errors, and EventTooLargeError.
    """
    rows = [(tick.schedule, tick.slot, tick.kind, tick.event_id, tick.missed) for tick in ticks]
    written = {id for (id,) in connection.execute(_WRITE, columns(rows)).fetchall()} if rows else set()
    leaving = [(tick.schedule, tick.event_id, tick.event) for tick in ticks if tick.event_id in written]
    return [
        publisher.publish(event, id=id, subject=schedule, time=now, connection=connection)
        for schedule, id, event in leaving
        if event is not None
    ]


def event_id(schedule: str, slot: datetime) -> str:
    """The id of the event of a slot."""
    return str(derived(NAMESPACE_OID, "schedule", schedule, slot.astimezone(UTC).isoformat()))
