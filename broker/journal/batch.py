"""One batch: everything that gathered while the last commit ran, applied in one transaction."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

from psycopg import Connection

from broker.database import BY_INDEX
from broker.journal.claimed import ClaimedRun
from broker.journal.claims import write_claims
from broker.journal.doors import Asked, Doors, Left, verdicts, write_declined
from broker.journal.intents import (
    Answer,
    Claim,
    Defer,
    Hear,
    Intent,
    Outgoing,
    Park,
    Record,
    Recorded,
    Resume,
    Sent,
    Unsent,
)
from broker.journal.records import (
    already_recorded,
    delete_delivered,
    delete_sent,
    release_held,
    release_unsent,
    write_parked,
    write_records,
)
from broker.journal.resumes import write_resumes
from broker.journal.turns import Writing, run_alone, run_together
from broker.journal.waits import Waits
from broker.outbox import store
from broker.topology import Topology, topology

BEAT = timedelta(seconds=1)
"""An idle worker's heartbeat: a tenth of the default lease. A busy one beats with its claims, and at least twice as often."""

_HEARTBEAT = """
insert into worker (id, name, lock_key, version, knows, started_at, heartbeat_at, live)
values (%(id)s, %(name)s, %(lock_key)s, %(version)s, %(knows)s, clock_timestamp(), clock_timestamp(), %(live)b)
on conflict (id) do update
set live = excluded.live, heartbeat_at = case when %(locked)s then excluded.heartbeat_at else worker.heartbeat_at end"""


NO_TOPOLOGY = topology("callboard", {})


class Outbox(Protocol):
    """Where messages that leave a commit are kept: outbox rows, or deliveries routed at once."""

    def write(self, connection: Connection, worker: UUID, messages: Sequence[Outgoing]) -> None:
        """Part of the batch's transaction."""
        ...

    def committed(self, messages: Sequence[Outgoing]) -> None:
        """After the commit; never blocks and never raises."""
        ...


class Identity:
    """Who writes: a row in `worker`. `locked` is set while the process holds its advisory lock; only then does it beat. `knows`
    are the rooms it has loaded, and the post migrations in them."""

    def __init__(self, id: UUID, name: str, lock_key: int, version: str, knows: Sequence[str] = ()) -> None:
        self.id = id
        self.name = name
        self.lock_key = lock_key
        self.version = version
        self.knows = list(knows)
        self.locked = False


class Batch:
    """Applies intents. `live` is what this process runs, as far as it has been committed."""

    def __init__(
        self, identity: Identity, doors: Doors, outbox: Outbox, topology: Topology = NO_TOPOLOGY
    ) -> None:
        self.identity = identity
        self.doors = doors
        self.outbox = outbox
        self._topology = topology
        self.live: dict[UUID, int] = {}
        """Run → fence of what this process holds: an earlier attempt that was fenced off must not forget a later one."""
        self._noting = threading.Lock()
        self._beat_due = 0.0

    def apply(
        self, connection: Connection, intents: Sequence[Intent], *, repeated: bool, alone: bool = False
    ) -> tuple[list[tuple[Intent, Answer]], list[Outgoing]]:
        """One transaction, in a pipeline: the answers, and what left with it. Raises psycopg errors; then nothing is committed
        unless the commit itself went unanswered.

        `repeated` says that an earlier commit of these intents may have happened. `alone` is for one record on a connection
        of its own: it does not hold the worker's row. Lock order: worker, runs, waits, outbox, limits.
        """
        try:
            with connection.pipeline():
                connection.execute("begin")
                if not alone and (repeated or self._beat_is_due(intents)):
                    self._beat(connection, intents)
                answers, leaving = self._write(connection, intents, repeated=repeated)
                connection.execute("commit")
        except BaseException:
            if not connection.closed:
                connection.rollback()
            raise
        with self._noting:
            for intent, answer in answers:
                if isinstance(answer, ClaimedRun):
                    self.live[answer.id] = answer.fence
                elif isinstance(intent, Record) and _has_left(intent, answer):
                    self._drop(intent)
        return answers, leaving

    def _beat_is_due(self, intents: Iterable[Intent]) -> bool:
        """Whoever claims must say so in the same commit, or its runs would be looked for by nobody. To have let go of one may
        be said later: a takeover looks at the run itself."""
        return time.monotonic() >= self._beat_due or any(isinstance(i, Claim | Resume) for i in intents)

    def _beat(self, connection: Connection, intents: Iterable[Intent]) -> None:
        """Say what this worker runs, and that it lives. Without the advisory lock the heartbeat stays as it was: a fresh one
        beside a free lock is how others recognise a dead worker."""
        coming = {intent.run_id for intent in intents if isinstance(intent, Claim | Resume)}
        with self._noting:
            live = [*(coming | self.live.keys())]
        me = self.identity
        facts = {
            "id": me.id,
            "name": me.name,
            "lock_key": me.lock_key,
            "version": me.version,
            "knows": me.knows,
        }
        connection.execute(_HEARTBEAT, {**facts, "live": live, "locked": me.locked})
        self._beat_due = time.monotonic() + BEAT.total_seconds() / 2

    def _write(
        self, connection: Connection, intents: Sequence[Intent], *, repeated: bool
    ) -> tuple[list[tuple[Intent, Answer]], list[Outgoing]]:
        """Answers, and what leaves with the commit. Runs first, then the limits: the doors are asked about all at once."""
        of = _sorted_by_kind(intents)
        written = already_recorded(connection, of[Record]) if repeated and of[Record] else set[UUID]()
        fresh = [record for record in of[Record] if record.token not in written]
        if repeated:
            release_held(connection, self.identity.id)
        waits = Waits(connection, self._topology)
        claiming: list[Writing[Any]] = []
        if of[Claim]:
            claiming.append(write_claims(connection, self.identity.id, of[Claim], self.doors))
        if of[Resume]:
            claiming.append(write_resumes(connection, self.identity.id, of[Resume], self.doors, waits))
        recording: list[Writing[Any]] = [write_records(connection, fresh)] if fresh else []
        self._settle(connection, of)
        done = Recorded(True)
        answers: list[tuple[Intent, Answer]] = [(r, done) for r in of[Record] if r.token in written]
        answers += [(intent, done) for kind in (Park, Defer, Hear, Sent, Unsent) for intent in of[kind]]
        results = run_together([*claiming, *recording])
        asked = [a for _, standing in results[: len(claiming)] for a in standing]
        recorded = [pair for told in results[len(claiming) :] for pair in told]
        kept = [record for record, answer in recorded if answer.held]
        waits.write(kept, of[Hear], [record.run_id for record, answer in recorded if answer.child])
        leaving = _outgoing(kept) + waits.leaving
        leaving += self._at_the_doors(connection, asked, recorded)
        if leaving:
            self.outbox.write(connection, self.identity.id, leaving)
        claimed = [pair for told, _ in results[: len(claiming)] for pair in told]
        told = answers + recorded + (verdicts(claimed, asked) if asked else claimed)
        return told, leaving + _outgoing(r for r in of[Record] if r.token in written)

    def _at_the_doors(
        self, connection: Connection, asked: Sequence[Asked], recorded: Sequence[tuple[Record, Recorded]]
    ) -> list[Outgoing]:
        """Let the doors decide and write what they refused; returns what leaves because of it."""
        left = [Left(r.run_id, r.end.status) for r, a in recorded if a.held and r.end is not None]
        if not asked and not (left and self.doors.minds(left)):
            return []
        leaving = self.doors.ask(connection, asked, left)
        write_declined(connection, asked)
        given_up = [
            Record(a.run_id, a.claimed.fence, end=self.doors.given_up(a.claimed, a.reason))
            for a in asked
            if a.status == "failed"
        ]
        if given_up:
            run_alone(write_records(connection, given_up))
            leaving += _outgoing(given_up)
        return leaving

    def _settle(self, connection: Connection, of: Mapping[type, list[Any]]) -> None:
        """What needs no answer but the commit."""
        if of[Park]:
            write_parked(connection, of[Park])
        if of[Defer]:
            store(connection.cursor(), [intent.outgoing for intent in of[Defer]], None)
        if of[Sent]:
            delete_sent(connection, of[Sent])
        if of[Unsent]:
            release_unsent(connection, of[Unsent])
        rows = [
            i.row_id for kind in (Claim, Resume, Park, Defer, Hear) for i in of[kind] if i.row_id is not None
        ]
        if rows:
            delete_delivered(connection, rows)

    def write_one(self, connection: Connection, record: Record) -> bool:
        """Write a record as the last statements of an author's transaction, and commit it. False when the fence is lost: then
        nothing is committed. Raises psycopg errors; the commit may have happened all the same."""
        with connection.pipeline():
            connection.execute(BY_INDEX, {"local": True})
            [(_, answer)], leaving = self._write(connection, [record], repeated=False)
            record.wakes = [out for out in leaving if out not in record.outgoing]
            held = isinstance(answer, Recorded) and answer.held
            if held:
                connection.execute("commit")
        if not held:
            connection.rollback()
        return held

    def forget(self, record: Record) -> None:
        """A run has ended outside the journal, or is no longer ours."""
        with self._noting:
            self._drop(record)

    def _drop(self, record: Record) -> None:
        if self.live.get(record.run_id) == record.fence:
            del self.live[record.run_id]


def _sorted_by_kind(intents: Iterable[Intent]) -> Mapping[type, list[Any]]:
    of: defaultdict[type, list[Any]] = defaultdict(list)
    for intent in intents:
        of[type(intent)].append(intent)
    return of


def _outgoing(records: Iterable[Record]) -> list[Outgoing]:
    return [out for record in records for out in record.outgoing]


def _has_left(record: Record, answer: Answer) -> bool:
    """Whether the run is no longer this worker's: it has ended or waits, or its fence was lost."""
    return record.end is not None or (isinstance(answer, Recorded) and not answer.held)
