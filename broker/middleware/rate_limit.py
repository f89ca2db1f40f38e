"""At most n starts in any period and key: the excess is skipped, visibly, and never starts.

Each key keeps the times of its last n starts. The next one may happen when the oldest of them is a period ago: exact in every
window, not only on its edges.
"""

from collections import defaultdict
from datetime import datetime
from typing import Any

from broker.actor import Actor
from broker.journal.doors import Asked
from broker.middleware.base import Door, Visit

_HOLD = """
insert into limit_rate (actor, key, starts)
select a, k, '{}' from unnest(%s::text[], %s::text[]) as t (a, k) order by a, k
on conflict (actor, key) do update set starts = limit_rate.starts
returning actor, key, starts, clock()"""
_NOTE = "update limit_rate set starts = %s where actor = %s and key = %s"


class RateLimit(Door):
    """Reads `rate_limit`. Stands after the keys (a duplicate uses up no start) and before the slots. A run is asked once, at its
    first start: retries and takeovers of what was let in are not dropped."""

    option = "rate_limit"

    def guards(self, actor: Actor[Any, Any]) -> bool:
        return actor.policies.rate_limit is not None

    def ask(self, visit: Visit) -> None:
        by_key: defaultdict[tuple[str, str], list[Asked]] = defaultdict(list)
        for run in visit.starting():
            limit = visit.policies(run).rate_limit
            if limit is not None and run.fresh:
                by_key[run.actor, limit.key_of(visit.actors[run.actor].hears)(run.event)].append(run)
        if not by_key:
            return
        names = ([actor for actor, _ in by_key], [key for _, key in by_key])
        for actor, key, starts, now in visit.cursor.execute(_HOLD, names).fetchall():
            limit = visit.actors[actor].policies.rate_limit
            assert limit is not None  # by_key holds limited actors only
            kept = admit(by_key[actor, key], starts, now, limit.limit, now - limit.per)
            visit.cursor.execute(_NOTE, (kept, actor, key))


def admit(
    asked: list[Asked], starts: list[datetime], now: datetime, limit: int, since: datetime
) -> list[datetime]:
    """Let in what the window has room for and skip the rest; returns the starts to remember."""
    kept = [start for start in starts if start > since]
    for run in asked:
        if len(kept) < limit:
            kept.append(now)
        else:
            run.skip("rate limited")
    return kept
