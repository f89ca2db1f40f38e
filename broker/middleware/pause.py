"""A person has paused an actor or a pipeline: its runs wait, without an attempt, until it is resumed ([pause.py](../pause.py)).

Each process asks the table only while its keeper has seen that something is paused at all: an ordinary claim costs nothing. The
row is shared until the claim commits, and lifting a pause waits for that: no run waits for a pause that is over.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from psycopg import Connection

from broker.actor import Actor
from broker.journal.doors import Asked
from broker.journal.records import columns
from broker.middleware.base import Door, Visit

REASON = "paused"

_ANY = "select exists (select from pause where lifted_at is null)"
_SHARE = """
select p.kind, p.name from pause p join unnest(%s::text[], %s::text[]) as k (kind, name) on p.kind = k.kind and p.name = k.name
where p.lifted_at is null order by p.kind, p.name for share of p"""
_WAIT = """
insert into pause_run (run_id, kind, name)
select run_id, kind, name from unnest(%s::uuid[], %s::text[], %s::text[]) as w (run_id, kind, name)
on conflict (run_id) do update set kind = excluded.kind, name = excluded.name"""


class Pause(Door):
    """Stands before the limits, so that what waits uses up nothing of them, and after the keys: a duplicate is known at once, and
    events go on being gathered. It holds back whoever enters a body, also after a wait or a failure."""

    def __init__(self) -> None:
        self._any = False

    def guards(self, actor: Actor[Any, Any]) -> bool:
        return False

    def guards_now(self) -> bool:
        return self._any

    def sweep(self, connection: Connection) -> int:
        """Each keeper's look: whether anything is paused. Raises psycopg errors."""
        [(self._any,)] = connection.execute(_ANY).fetchall()
        return int(self._any)

    def ask(self, visit: Visit) -> None:
        if not self._any:
            return
        of: defaultdict[tuple[str, str], list[Asked]] = defaultdict(list)
        for run in visit.asked:
            if run.status is None:
                for scope in _scopes(visit, run):
                    of[scope].append(run)
        if not of:
            return
        waiting: dict[UUID, tuple[str, str]] = {}
        for scope in visit.cursor.execute(_SHARE, columns(sorted(of))).fetchall():
            for run in of[scope]:
                if run.status is None:
                    run.postpone(None, REASON)
                    waiting[run.run_id] = scope
        if waiting:
            visit.cursor.execute(_WAIT, columns([(id, *scope) for id, scope in waiting.items()]))


def _scopes(visit: Visit, run: Asked) -> Iterator[tuple[str, str]]:
    """A renamed actor's older runs are its runs."""
    yield "actor", visit.actors[run.actor].name
    if run.claimed.pipeline is not None:
        yield "pipeline", run.claimed.pipeline
