"""One live run per key: the next one is skipped, or the older one is cancelled for it."""

from typing import Any

from broker.actor import Actor
from broker.journal.doors import Asked
from broker.journal.records import columns
from broker.middleware.base import Door, Visit

# A key is free when its run has ended. Rows are locked in their order, also where nothing is updated.
_TAKE = """
insert into limit_singleton as held (actor, key, run_id)
select k.actor, k.key, k.run_id from unnest(%s::text[], %s::text[], %s::uuid[]) as k (actor, key, run_id)
on conflict (actor, key) do update set run_id = excluded.run_id
where held.run_id = excluded.run_id
   or not exists (select from run r where r.id = held.run_id and r.finished_at is null)
returning run_id"""


class Singleton(Door):
    """Reads `singleton`. Stands with the other keys, before the limits. A replay asks again."""

    option = "singleton"

    def guards(self, actor: Actor[Any, Any]) -> bool:
        return actor.policies.singleton is not None

    def ask(self, visit: Visit) -> None:
        takers: dict[tuple[str, str], Asked] = {}
        for run in visit.starting():
            policy = visit.policies(run).singleton
            if policy is None or not run.fresh:
                continue
            key = (run.actor, policy.key_of(visit.actors[run.actor].hears)(run.event))
            if key in takers:
                run.skip("another run of its key is live")
            takers.setdefault(key, run)
        if not takers:
            return
        rows = [(*key, run.run_id) for key, run in sorted(takers.items(), key=lambda pair: pair[0])]
        taken = {id for (id,) in visit.cursor.execute(_TAKE, columns(rows)).fetchall()}
        for run in takers.values():
            if run.run_id not in taken:
                run.skip("another run of its key is live")
