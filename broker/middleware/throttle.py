"""At most n starts per period and key: the excess waits, in order.

The rule is GCRA: each key keeps the time of its next free start. A start moves it one interval on; `burst` starts may be ahead.
A reservation is a due time on the run's row, made in the same commit as the key's row moves.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from broker.actor import Actor
from broker.journal.doors import Asked
from broker.middleware.base import Door, Visit
from broker.policies import Throttle as Limit

GRACE = timedelta(seconds=1)
"""How long a reservation is honoured at least: a wake-up takes a sweep (250 ms) and a hand-over to arrive, and an interval may be
shorter than that."""

_MAKE = (
    "insert into limit_throttle (actor, key, next_at) select a, k, '-infinity' from unnest(%s::text[], %s::text[]) as t (a, k) \
on conflict do nothing"
)
_HOLD = """
select t.actor, t.key, greatest(t.next_at, '2000-01-01'), clock() from limit_throttle t
join unnest(%s::text[], %s::text[]) as k (actor, key) on t.actor = k.actor and t.key = k.key
order by t.actor, t.key for update of t"""
_MOVE = "update limit_throttle set next_at = %s where actor = %s and key = %s"


class Throttle(Door):
    """Reads `throttle`. Stands after idempotency (a duplicate uses no start); a retry and a takeover are starts."""

    option = "throttle"

    def guards(self, actor: Actor[Any, Any]) -> bool:
        return actor.policies.throttle is not None

    def ask(self, visit: Visit) -> None:
        by_key: defaultdict[tuple[str, str], list[Asked]] = defaultdict(list)
        for run in visit.starting():
            limit = visit.policies(run).throttle
            if limit is not None:
                by_key[run.actor, limit.key_of(visit.actors[run.actor].hears)(run.event)].append(run)
        if not by_key:
            return
        keys = sorted(by_key)
        names = ([actor for actor, _ in keys], [key for _, key in keys])
        visit.cursor.execute(_MAKE, names)
        for actor, key, next_at, now in visit.cursor.execute(_HOLD, names).fetchall():
            limit = visit.actors[actor].policies.throttle
            assert limit is not None  # by_key holds throttled actors only
            moved = reserve(limit, next_at, now, by_key[actor, key])
            if moved != next_at:
                visit.cursor.execute(_MOVE, (moved, actor, key))


def reserve(limit: Limit, next_at: datetime, now: datetime, asked: Sequence[Asked]) -> datetime:
    """Let each run start now or postpone it to its own free start; returns the key's new next start.

    A reservation is honoured for one interval after it (and at least GRACE): later, its start has to be reserved anew, or an
    outage would let all reserved starts happen at once. Older reservations go first.
    """
    allowance = limit.interval * (limit.burst - 1)
    honoured = max(limit.interval, GRACE)
    far = now + timedelta(days=36_500)
    for run in sorted(asked, key=lambda run: run.reserved_at or far):
        if run.reserved_at is not None and now - honoured <= run.reserved_at <= now:
            continue
        arrival = max(next_at, now)
        if arrival - allowance > now:
            run.postpone(arrival - allowance, "throttle", reserved=True)
        next_at = arrival + limit.interval
    return next_at
