"""One run per key: the second one is skipped, visibly, as a duplicate."""

from typing import Any

from broker.actor import Actor
from broker.journal.doors import Asked
from broker.journal.records import columns
from broker.middleware.base import Door, Visit

# A key whose time is up is taken over, unless the run that holds it has not ended; that of a cancelled run at once.
_TAKE = """
insert into limit_idempotency as held (actor, key, run_id, expires_at, keep)
select k.actor, k.key, k.run_id, clock() + k.ttl, k.keep
from unnest(%s::text[], %s::text[], %s::uuid[], %s::interval[], %s::bool[]) as k (actor, key, run_id, ttl, keep)
on conflict (actor, key) do update
set run_id = excluded.run_id, expires_at = excluded.expires_at, keep = excluded.keep
where held.run_id = excluded.run_id
   or (held.expires_at <= clock()
       and not exists (select 1 from run r where r.id = held.run_id
                       and r.status in ('queued', 'running', 'waiting', 'retrying')))
   or (not held.keep and exists (select from run r where r.id = held.run_id and r.status = 'cancelled'))
returning run_id"""


class Idempotency(Door):
    """Reads `idempotency`. Stands before the limits: a duplicate must not use up a start."""

    option = "idempotency"

    def guards(self, actor: Actor[Any, Any]) -> bool:
        return actor.policies.idempotency is not None

    def ask(self, visit: Visit) -> None:
        takers: dict[tuple[str, str], Asked] = {}
        rows: list[tuple[object, ...]] = []
        for run in visit.starting():
            policy = visit.policies(run).idempotency
            if policy is None:
                continue
            key = (run.actor, policy.key_of(visit.actors[run.actor].hears)(run.event))
            if key in takers:
                run.skip("duplicate key")
                continue
            takers[key] = run
            rows.append((*key, run.run_id, policy.ttl, policy.keep))
        if not rows:
            return
        taken = {
            id
            for (id,) in visit.cursor.execute(
                _TAKE, columns(sorted(rows, key=lambda row: row[:2]))
            ).fetchall()
        }
        for run in takers.values():
            if run.run_id not in taken:
                run.skip("duplicate key")
