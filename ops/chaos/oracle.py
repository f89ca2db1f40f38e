"""The judge of every fault row: was anything lost, doubled, left over, done again, or made up?

It is asked after the faults have stopped and the system has drained. Invariants carry the numbers of
ops/docs/reliability.md.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from broker.database import Database
from ops.chaos.timekeeping import tick_faults
from ops.chaos.trial import STAGES, TABLES

_EFFECTS = "select n, stage, times from trial.effect"
_UNFINISHED = "select distinct (event->>'n')::int from run where finished_at is null"
_DEAD = "select reason, min(error), count(*) from dead_letter where settled_at is null group by reason order by reason"
_LEFT = "select (select count(*) from outbox) + (select count(*) from delivery)"

# A body notes its start; a step's row says when its result was written, in the commit that keeps it. A start after that is a
# finished step that ran again.
_RAN_AGAIN = """
select distinct (r.event->>'n')::int
from step s join run r on r.id = s.run_id
join trial.execution e on e.n = (r.event->>'n')::int and e.stage = split_part(r.actor, '.', 2) and e.part = s.name
where s.status = 'done' and e.at > s.finished_at"""
_STARTED_TWICE = "select distinct n from trial.execution group by n, stage, part having count(*) > 1"

_RUNS = """
select actor, status, attempt, crashes, fence, coalesce(reason, '') from run where (event->>'n')::int = %s order by created_at"""
_EXECUTIONS = "select at, stage, part from trial.execution where n = %s order by id"

# The engine's sessions may only follow an index, which is slow for a judge that reads whole tables: without this a row of 12,000
# chains took 293 s instead of 206, of which the load is 200 (other work on the machine had its share in it).
_WHOLE_TABLES = (
    "select set_config(name, 'on', false) from unnest(array['enable_seqscan', 'enable_hashjoin']) as name"
)

_DEAD_ROWS = """
select coalesce(max(n_dead_tup::float / n_live_tup), 0) from pg_stat_user_tables where n_live_tup >= 1000"""

_GIVEN_UP = """
select r.actor, max(extract(epoch from a.failed_at - r.started_at))
from attempt a join run r on r.id = a.run_id where r.event_type in ('trial.sunk', 'trial.adrift')
group by r.actor order by r.actor"""

SHOWN = 5
"""Offending numbers whose history is told; the others are counted."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the publisher knows: numbers whose publish returned, numbers whose publish raised, and what must be parked."""

    acknowledged: Collection[int]
    unknown: Collection[int] = ()
    poison: Mapping[str, int] = field(default_factory=dict[str, int])
    """Reason of a dead letter → how many are planned."""
    started_once: bool = False
    """No worker was killed: no body may have started twice (I11)."""
    zombies: bool = False
    """A frozen worker that wakes starts the bodies it had claimed before it learns that it was given up: they write nothing,
    but they start (I10 is not asked)."""
    ticking_since: datetime | None = None
    """The workers have schedules: every slot since then has one effect (I8)."""

    @property
    def attempted(self) -> int:
        return len(self.acknowledged) + len(self.unknown)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`broken` is a line an invariant that does not hold, `offenders` the events to look at."""

    attempted: int
    acknowledged: int
    lost: int
    duplicated: int
    recovered: int
    unexpected: int
    broken: tuple[str, ...]
    offenders: tuple[int, ...]


class Oracle:
    def __init__(self, database: Database) -> None:
        self.database = database

    def prepare(self) -> None:
        with self.database.once("oracle") as connection:
            connection.execute(TABLES)

    def judge(self, asked: Asked) -> Verdict:
        """Reads only; may be asked again. Raises psycopg errors."""
        effects: defaultdict[int, dict[str, int]] = defaultdict(dict)
        for n, stage, times in self._rows(_EFFECTS):
            effects[n][stage] = times
        whole = {n for n, stages in effects.items() if len(stages) == len(STAGES)}
        acknowledged, unknown = set(asked.acknowledged), set(asked.unknown) - set(asked.acknowledged)
        lost = (acknowledged - whole) | (unknown & effects.keys() - whole)
        doubled = {n for n, stages in effects.items() if any(times != 1 for times in stages.values())}
        made_up = effects.keys() - acknowledged - unknown
        found = {
            "I1 lost": lost,
            "I2 doubled": doubled,
            "I3 made up": made_up,
            "I4 unfinished": {n for (n,) in self._rows(_UNFINISHED)},
        }
        if not asked.zombies:
            found["I10 finished steps ran again"] = {n for (n,) in self._rows(_RAN_AGAIN)}
        if asked.started_once:
            found["I11 bodies started twice"] = {n for (n,) in self._rows(_STARTED_TWICE)}
        broken = [f"{name}: {len(events)}" for name, events in found.items() if events]
        return Verdict(
            attempted=asked.attempted,
            acknowledged=len(asked.acknowledged),
            lost=len(lost),
            duplicated=len(doubled),
            recovered=len(unknown & whole),
            unexpected=len(made_up),
            broken=(*broken, *self._ticks(asked.ticking_since), *self._left_over(asked.poison)),
            offenders=tuple(sorted({n for events in found.values() for n in events if n is not None}))[
                :SHOWN
            ],
        )

    def faults(self, count: int) -> list[str]:
        """Every invariant that does not hold after events 0 … count-1, in words."""
        return list(self.judge(Asked(range(count))).broken)

    def done(self) -> int:
        """How many stages of how many events have left their effect."""
        return int(self._rows("select count(*) from trial.effect")[0][0])

    def unfinished(self) -> int:
        return int(self._rows("select count(*) from run where finished_at is null")[0][0])

    def dead_rows(self) -> float:
        """The worst share of dead rows over live ones, of tables with a thousand or more."""
        [(share,)] = self._rows(_DEAD_ROWS)
        return float(share)

    def given_up_after(self) -> dict[str, float]:
        """Actor → the longest time, seconds, from a start to its being given up, of bodies that hang."""
        return {actor: float(seconds) for actor, seconds in self._rows(_GIVEN_UP)}

    def executions(self, stage: str, part: str) -> dict[int, int]:
        """How often each event's part of a stage was executed."""
        statement = "select n, count(*) from trial.execution where stage = %s and part = %s group by n"
        return dict(self._rows(statement, (stage, part)))

    def history(self, n: int) -> list[str]:
        """What happened to one event, a line each."""
        runs = [
            f"run {actor}: {status}, attempt {attempt}, crashes {crashes}, fence {fence} {reason}".rstrip()
            for actor, status, attempt, crashes, fence, reason in self._rows(_RUNS, (n,))
        ]
        bodies = [
            f"{at:%H:%M:%S.%f} {stage}/{part} started" for at, stage, part in self._rows(_EXECUTIONS, (n,))
        ]
        effects = [
            f"effect {stage}: {times}"
            for stage, times in self._rows("select stage, times from trial.effect where n = %s", (n,))
        ]
        return [*runs, *bodies, *effects] or ["it has left no trace"]

    def _ticks(self, since: datetime | None) -> Iterable[str]:
        return tick_faults(self.database, since) if since is not None else ()

    def _left_over(self, poison: Mapping[str, int]) -> Iterable[str]:
        rows = self._rows(_DEAD)
        dead = {reason: count for reason, _, count in rows}
        if Counter(dead) != Counter(poison):
            yield f"I5 dead letters: {_counted(dead)}, planned: {_counted(poison)}"
            yield from (f"   {reason}: {error}" for reason, error, _ in rows if reason not in poison)
        if left := self._rows(_LEFT)[0][0]:
            yield f"I9 outbox and deliveries not empty: {left}"

    def _rows(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self.database.once("oracle") as connection:
            connection.execute(_WHOLE_TABLES)
            return connection.execute(statement.encode(), values or None).fetchall()


def _counted(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) or "none"
