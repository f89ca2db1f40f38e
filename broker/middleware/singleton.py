"""One live run per key: the next one is skipped, or the older one is cancelled for it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from broker.actor import Actor
from broker.cancel import stop_free
from broker.journal.doors import Asked, Left
from broker.journal.records import columns
from broker.middleware.base import Door, Visit

Key = tuple[str, str]

# A key is free when its run has ended. Rows are locked in their order, also where nothing is updated.
_TAKE = """
insert into limit_singleton as held (actor, key, run_id)
select k.actor, k.key, k.run_id from unnest(%s::text[], %s::text[], %s::uuid[]) as k (actor, key, run_id)
on conflict (actor, key) do update set run_id = excluded.run_id
where held.run_id = excluded.run_id
   or not exists (select from run r where r.id = held.run_id and r.finished_at is null)
returning run_id"""

_MAKE = """
insert into limit_singleton (actor, key, run_id)
select k.actor, k.key, k.run_id from unnest(%s::text[], %s::text[], %s::uuid[]) as k (actor, key, run_id)
on conflict do nothing"""
_HOLD = """
select s.actor, s.key, s.run_id
from limit_singleton s join unnest(%s::text[], %s::text[]) as k (actor, key) on s.actor = k.actor and s.key = k.key
order by s.actor, s.key for update of s"""
_LIVE = "select id, clock() + interval '100 ms' from run where id = any(%s) and finished_at is null"
_HAND_ON = """
update limit_singleton s set run_id = k.run_id
from unnest(%s::text[], %s::text[], %s::uuid[]) as k (actor, key, run_id) where s.actor = k.actor and s.key = k.key"""

SKIPPED = "another run of its key is live"
CANCELLED = "a newer run of its key"


class Singleton(Door):
    """Reads `singleton`. Stands with the other keys, before the limits. A replay asks again."""

    option = "singleton"

    def guards(self, actor: Actor[Any, Any]) -> bool:
        return actor.policies.singleton is not None

    def ask(self, visit: Visit) -> None:
        skipping: dict[Key, Asked] = {}
        cancelling: dict[Key, Asked] = {}
        for run in visit.starting():
            policy = visit.policies(run).singleton
            if policy is None or not run.fresh:
                continue
            key = (run.actor, policy.key_of(visit.actors[run.actor].hears)(run.event))
            if policy.mode == "cancel":
                _newer(cancelling, key, run)
            elif key in skipping:
                run.skip(SKIPPED)
            else:
                skipping[key] = run
        if skipping:
            self._skip(visit, skipping)
        if cancelling:
            self._cancel(visit, cancelling)

    def _skip(self, visit: Visit, takers: Mapping[Key, Asked]) -> None:
        taken = {id for (id,) in visit.cursor.execute(_TAKE, columns(_rows(takers))).fetchall()}
        for run in takers.values():
            if run.run_id not in taken:
                run.skip(SKIPPED)

    def _cancel(self, visit: Visit, takers: Mapping[Key, Asked]) -> None:
        """The newest run of a key has it. An older one that somebody is writing at this moment is not waited for, for he may wait
        for a key of ours: the newer one asks again in a moment."""
        visit.cursor.execute(_MAKE, columns(_rows(takers)))
        rows = visit.cursor.execute(_HOLD, columns(sorted(takers))).fetchall()
        holders = {(actor, key): holder for actor, key, holder in rows}
        older = [holder for key, holder in holders.items() if holder < takers[key].run_id]
        if older:
            visit.left += [Left(id, "cancelled") for id in stop_free(visit.cursor, older, CANCELLED)]
        live: dict[UUID, datetime] = dict(visit.cursor.execute(_LIVE, ([*holders.values()],)).fetchall())
        for key, run in takers.items():
            if (holder := holders[key]) == run.run_id or holder not in live:
                continue
            if holder < run.run_id:
                run.postpone(live[holder], "singleton")
            else:
                run.cancel(f"cancelled by {CANCELLED}")
        standing = {key: run for key, run in takers.items() if run.status is None}
        if standing:
            visit.cursor.execute(_HAND_ON, columns(_rows(standing)))


def _newer(takers: dict[Key, Asked], key: Key, run: Asked) -> None:
    """Of one batch the newest asks; ids are in the order of time."""
    other = takers.setdefault(key, run)
    if other is not run:
        older, newer = sorted((other, run), key=lambda each: each.run_id)
        older.cancel(f"cancelled by {CANCELLED}")
        takers[key] = newer


def _rows(takers: Mapping[Key, Asked]) -> list[tuple[str, str, UUID]]:
    return [(*key, run.run_id) for key, run in sorted(takers.items(), key=lambda pair: pair[0])]
