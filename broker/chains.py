"""Runs that move, and all that belongs to many of them, in a few statements: for those who look again and again. Reads only."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

from broker.history import _LETTER, _RUN, _rows
from broker.history_rows import AttemptRow, LetterLine, RunRow, RunStory, StepLine

Part = TypeVar("Part")

LATE = timedelta(seconds=10)
"""Ids come from the workers' clocks, and a row is seen when its transaction commits."""
MOST = 500
"""Runs a look; when more than that have moved, the newest."""

# The primary key and `run_due` serve it; workers are few, and so are letters that were just settled.
_MOVING = f"""{_RUN}
where id > %(since)s or id = any(%(known)s) or due_at is not null
   or id = any(array(select unnest(live) from worker))
   or id = any(array(select run_id from dead_letter where settled_at > clock() - interval '10 s'))
order by id desc limit %(most)s"""  # noqa: S608  constants only
# `attempt_run`, the key of `step`, `dead_letter_run` and `dead_letter_open` serve these.
_ATTEMPTS = """
select run_id as belongs, attempt, rerun, failed_at, kind, error, trace, step, delay
from attempt where run_id = any(%s) order by id"""
_STEPS = """
select run_id as belongs, name, occurrence, status, tries, attempt, error, started_at, finished_at,
       finished_at - started_at as lasted, due_at - clock() as due_in
from step where run_id = any(%s) order by started_at, finished_at, name, occurrence"""
_LETTERS = """
select run_id as belongs, id, created_at, reason, queue, actor, run_id, rerun, event_type, field, step, error, settled_at,
       settled_as
from dead_letter where run_id = any(%s) order by created_at"""
_RUNLESS = f"{_LETTER} where settled_at is null and run_id is null and created_at > %s order by created_at"
_NOW = "select clock()"


def now(connection: Connection) -> datetime:
    """The database's time, by which all runs are timed."""
    row = connection.execute(_NOW).fetchone()
    assert row is not None  # a select without a from has one row
    moment: datetime = row[0]
    return moment


def moving_runs(connection: Connection, since: datetime, known: Collection[UUID]) -> list[RunRow]:
    """Runs claimed after `since`, those that are `known`, and those that wait, run or were just replayed; oldest first."""
    milliseconds = int((since - LATE).timestamp() * 1000)
    wanted = {"since": UUID(int=milliseconds << 80), "known": list(known), "most": MOST}
    return _rows(connection, RunRow, _MOVING, wanted)[::-1]


def stories(connection: Connection, runs: Sequence[RunRow]) -> list[RunStory]:
    """As `history.story`, for many; without what they caused, which is among the runs of their chains."""
    ids = [run.id for run in runs]
    attempts = _parts(connection, AttemptRow, _ATTEMPTS, ids)
    steps = _parts(connection, StepLine, _STEPS, ids)
    letters = _parts(connection, LetterLine, _LETTERS, ids)
    return [
        RunStory(run, attempts[run.id], steps[run.id], letters[run.id], next=(), on_the_way=())
        for run in runs
    ]


def runless_letters(connection: Connection, since: datetime) -> list[LetterLine]:
    """Open dead letters of what never became a run: unheard, undecodable."""
    return _rows(connection, LetterLine, _RUNLESS, (since,))


def _parts(
    connection: Connection, kind: type[Part], statement: str, ids: Sequence[UUID]
) -> dict[UUID, list[Part]]:
    found: dict[UUID, list[Part]] = defaultdict(list)
    with connection.cursor(row_factory=dict_row) as cursor:
        rows: list[dict[str, Any]] = cursor.execute(statement.encode(), (list(ids),)).fetchall()
    for row in rows:
        found[row.pop("belongs")].append(kind(**row))
    return found
