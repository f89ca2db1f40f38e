"""One run for many events of a key: the first one gathers, those that come while it does are folded into it.

    first  ── waits ─ ─ ─ ─ ─ ─ ─ start     (the key has been quiet, its time is up, or it is full)
    second ── folded into the first
    third  ── folded into the first

The key's row says which run gathers and until when; a fold and the start both hold it. A fold only moves that time: the run's own
timer wakes it early, and it asks here again. Each folded event has a run of its own that is over, so a duplicate of it is seen,
and a replay of the run that gathered does them all again.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from broker.actor import Actor
from broker.codec import encode_wake
from broker.gathering import Gathering
from broker.journal.doors import Asked
from broker.journal.intents import Outgoing
from broker.journal.records import columns
from broker.middleware.base import Door, Visit
from schemas import uuid7

Key = tuple[str, str]

_HOLD = """
insert into limit_fold (actor, key) select a, k from unnest(%s::text[], %s::text[]) as t (a, k) order by a, k
on conflict (actor, key) do update set key = excluded.key
returning actor, key, run_id, first_at, due_at, members, clock()"""
# After the row is held, in a statement of its own: it sees what whoever held it before has committed.
_WAITING = "select id, wake from run where id = any(%s) and status = 'waiting'"
_NOTE = """
update limit_fold f set run_id = k.run_id, first_at = k.first_at, due_at = k.due_at, members = k.members
from unnest(%s::text[], %s::text[], %s::uuid[], %s::timestamptz[], %s::timestamptz[], %s::int[])
     as k (actor, key, run_id, first_at, due_at, members)
where f.actor = k.actor and f.key = k.key"""


@dataclass(slots=True)
class Held:
    """A key as this transaction sees it. `run_id` is None while nobody gathers; `wake` starts the run that does."""

    now: datetime
    run_id: UUID | None = None
    first_at: datetime | None = None
    due_at: datetime | None = None
    members: int = 0
    wake: UUID | None = None

    def close(self) -> None:
        """The next event begins anew."""
        self.run_id = self.first_at = self.due_at = self.wake = None
        self.members = 0


class Fold(Door):
    """Reads `debounce` and `batch`. Stands after the keys (a duplicate is not gathered) and before the limits, which count one
    start for all. A retry and a replay do not gather again."""

    @property
    def actor_options(self) -> set[str]:
        return {"debounce", "batch"}

    def guards(self, actor: Actor[Any, Any]) -> bool:
        return actor.policies.gathering is not None

    def ask(self, visit: Visit) -> None:
        by_key: defaultdict[Key, list[Asked]] = defaultdict(list)
        for run in visit.starting():
            policy = visit.policies(run).gathering
            if policy is not None and run.fresh and not run.claimed.rerun:
                by_key[run.actor, policy.key_of(visit.actors[run.actor].hears)(run.event)].append(run)
        if not by_key:
            return
        held = _hold(visit, by_key)
        for (actor, key), runs in by_key.items():
            policy = visit.actors[actor].policies.gathering
            assert policy is not None  # by_key holds actors that gather only
            for run in sorted(runs, key=lambda run: run.run_id):
                gather(policy, held[actor, key], run)
                if _is_full(policy, held[actor, key]):
                    visit.leaving.append(_start(visit, actor, held[actor, key]))
                    held[actor, key].close()
        rows = [(*key, h.run_id, h.first_at, h.due_at, h.members) for key, h in sorted(held.items())]
        visit.cursor.execute(_NOTE, columns(rows))


def gather(policy: Gathering, held: Held, run: Asked) -> None:
    """What becomes of one run: it starts, gathers, or is folded into the one that does."""
    if run.claimed.fence > 1:
        # It was woken. Somebody else's key, or nobody's, means that it has gathered all it will.
        if held.run_id == run.run_id and held.due_at is not None:
            if held.due_at <= held.now:
                held.close()
            else:
                held.wake = run.wake
                run.postpone(held.due_at, policy.word)
        return
    if held.run_id is None:
        held.run_id, held.first_at, held.wake = run.run_id, held.now, run.wake
    held.members += 1
    held.due_at = policy.due_at(held.first_at or held.now, held.now)
    if held.run_id == run.run_id:
        run.postpone(held.due_at, policy.word)
    else:
        run.fold(held.run_id)


def _is_full(policy: Gathering, held: Held) -> bool:
    return policy.size is not None and held.members >= policy.size


def _start(visit: Visit, actor: str, held: Held) -> Outgoing:
    """Wake the run that gathers before its time."""
    assert held.run_id is not None and held.wake is not None  # a key that is full has somebody who gathers
    return Outgoing(uuid7(), encode_wake(visit.topology.queue_of(actor), held.run_id, held.wake))


def _hold(visit: Visit, by_key: Mapping[Key, Sequence[Asked]]) -> dict[Key, Held]:
    """The keys, locked in their order. A run that has been cancelled meanwhile, or has started, gathers no more."""
    rows = visit.cursor.execute(_HOLD, columns(sorted(by_key))).fetchall()
    gathering = [run_id for _, _, run_id, *_ in rows if run_id is not None]
    wakes: dict[UUID, UUID | None] = (
        dict(visit.cursor.execute(_WAITING, (gathering,)).fetchall()) if gathering else {}
    )
    held: dict[Key, Held] = {}
    for actor, key, run_id, first_at, due_at, members, now in rows:
        here = any(run.run_id == run_id for run in by_key[actor, key])
        found = Held(now, run_id, first_at, due_at, members, wakes.get(run_id))
        if run_id not in wakes and not here:
            found.close()
        held[actor, key] = found
    return held
