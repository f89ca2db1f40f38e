"""How actors have done since a time: how much, how well, how long. Reads only."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import Connection
from psycopg.rows import class_row

from broker.retention import before

# Ids are in order of time: the primary key finds the runs. `started_at` is the first start.
_STATS = """
select actor,
       count(*) as runs,
       count(*) filter (where status = 'completed') as completed,
       count(*) filter (where status = 'failed') as failed,
       count(*) filter (where status in ('skipped', 'folded', 'cancelled')) as left_out,
       count(*) filter (where finished_at is null) as unfinished,
       count(*) filter (where attempt > 1) as retried,
       percentile_cont(0.5) within group (order by started_at - created_at) as waited,
       percentile_cont(0.95) within group (order by started_at - created_at) as waited_95,
       percentile_cont(0.5) within group (order by finished_at - started_at) as took,
       percentile_cont(0.95) within group (order by finished_at - started_at) as took_95
from run where id >= %(since)s and (%(actor)s::text is null or actor = %(actor)s)
group by actor order by count(*) desc, actor"""


@dataclass(frozen=True, slots=True)
class ActorStats:
    """Of the runs that began to be known since then. `left_out` were skipped, folded into another or cancelled; `waited` is from
    known to the first start, `took` from there to the end, retries and sleeps included; None where nothing can be measured."""

    actor: str
    runs: int
    completed: int
    failed: int
    left_out: int
    unfinished: int
    retried: int
    waited: timedelta | None
    waited_95: timedelta | None
    took: timedelta | None
    took_95: timedelta | None

    @property
    def success(self) -> float | None:
        """Share of completed runs among those that completed or failed."""
        ended = self.completed + self.failed
        return self.completed / ended if ended else None


def actor_stats(connection: Connection, since: datetime, actor: str | None = None) -> list[ActorStats]:
    """The busiest first. Looks at each run since then, some 1 µs each."""
    with connection.cursor(row_factory=class_row(ActorStats)) as cursor:
        return cursor.execute(_STATS, {"since": before(since), "actor": actor}).fetchall()
