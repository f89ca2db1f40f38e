"""One batch: everything that gathered while the last commit ran, applied in one transaction."""

import threading
from collections.abc import Iterable, Sequence
from typing import LiteralString, Protocol
from uuid import UUID

from psycopg import Connection, Cursor

from broker.journal.claims import write_claims
from broker.journal.doors import Doors
from broker.journal.intents import (
    Answer,
    Claim,
    ClaimedRun,
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
    release_unsent,
    write_parked,
    write_records,
)
from broker.journal.resumes import write_resumes

_HEARTBEAT = """
insert into worker (id, name, lock_key, version, started_at, heartbeat_at, live)
values (%(id)s, %(name)s, %(lock_key)s, %(version)s, clock_timestamp(), clock_timestamp(), %(live)s)
on conflict (id) do update
set live = excluded.live, heartbeat_at = case when %(locked)s then excluded.heartbeat_at else worker.heartbeat_at end"""

_LOCK_TIMEOUTS: dict[bool, LiteralString] = {
    False: "set local lock_timeout to '100ms'",
    True: "set local lock_timeout to '30s'",
}
"""How long the shared commit waits for one row before that record has to go alone, and how long it waits there."""


class Outbox(Protocol):
    """Where messages that leave a commit are kept: outbox rows, or deliveries routed at once."""

    def write(self, cursor: Cursor, worker: UUID, messages: Sequence[Outgoing]) -> None:
        """Part of the batch's transaction."""
        ...

    def committed(self, messages: Sequence[Outgoing]) -> None:
        """After the commit; never blocks and never raises."""
        ...


class Identity:
    """Who writes: a row in `worker`. `locked` is set while the process holds its advisory lock; only then does it beat."""

    def __init__(self, id: UUID, name: str, lock_key: int, version: str) -> None:
        self.id = id
        self.name = name
        self.lock_key = lock_key
        self.version = version
        self.locked = False


class Batch:
    """Applies intents. `live` is what this process runs, as far as it has been committed."""

    def __init__(self, identity: Identity, doors: Doors, outbox: Outbox) -> None:
        self.identity = identity
        self.doors = doors
        self.outbox = outbox
        self.live: dict[UUID, int] = {}
        """Run → fence of what this process holds: an earlier attempt that was fenced off must not forget a later one."""
        self._noting = threading.Lock()

    def apply(
        self, connection: Connection, intents: Sequence[Intent], *, repeated: bool, alone: bool = False
    ) -> list[tuple[Intent, Answer]]:
        """One transaction. Raises psycopg errors; then nothing is committed unless the commit itself went unanswered.

        `repeated` says that an earlier commit of these intents may have happened. `alone` is for one record on a connection
        of its own: it may wait for a row, so it does not hold the worker's. Lock order: worker, runs, outbox.
        """
        coming = {i.run_id for i in intents if isinstance(i, Claim | Resume)}
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute(_LOCK_TIMEOUTS[alone])
            if not alone:
                with self._noting:
                    live = {*self.live, *coming}
                self.beat(cursor, live)
            answers = self._write(cursor, intents, repeated=repeated)
        with self._noting:
            for intent, answer in answers:
                if isinstance(answer, ClaimedRun):
                    self.live[answer.id] = answer.fence
                elif isinstance(intent, Record) and _has_left(intent, answer):
                    self._drop(intent)
        return answers

    def beat(self, cursor: Cursor, live: Iterable[UUID]) -> None:
        """Say what this worker runs, and that it lives. Without the advisory lock the heartbeat stays as it was: a fresh one
        beside a free lock is how others recognise a dead worker."""
        me = self.identity
        facts = {"id": me.id, "name": me.name, "lock_key": me.lock_key, "version": me.version}
        cursor.execute(_HEARTBEAT, {**facts, "live": list(live), "locked": me.locked})

    def _write(
        self, cursor: Cursor, intents: Sequence[Intent], *, repeated: bool
    ) -> list[tuple[Intent, Answer]]:
        done = Recorded(True)
        answers: list[tuple[Intent, Answer]] = []
        records = [i for i in intents if isinstance(i, Record)]
        written = already_recorded(cursor, records) if repeated and records else set[UUID]()
        answers += [(r, done) for r in records if r.token in written]
        if fresh := [r for r in records if r.token not in written]:
            recorded = write_records(cursor, fresh)
            answers += recorded
            leaving = [o for r, a in recorded if a.held and r.end is not None for o in r.end.outgoing]
            if leaving:
                self.outbox.write(cursor, self.identity.id, leaving)
        if parked := [i for i in intents if isinstance(i, Park)]:
            write_parked(cursor, parked)
            answers += [(p, done) for p in parked]
        if sent := [i for i in intents if isinstance(i, Sent)]:
            delete_sent(cursor, sent)
            answers += [(s, done) for s in sent]
        if unsent := [i for i in intents if isinstance(i, Unsent)]:
            release_unsent(cursor, unsent)
            answers += [(u, done) for u in unsent]
        if claims := [i for i in intents if isinstance(i, Claim)]:
            answers += write_claims(cursor, self.identity.id, claims, self.doors)
        if resumes := [i for i in intents if isinstance(i, Resume)]:
            answers += write_resumes(cursor, self.identity.id, resumes, self.doors)
        if rows := [
            i.row_id for i in intents if isinstance(i, Claim | Resume | Park) and i.row_id is not None
        ]:
            delete_delivered(cursor, rows)
        return answers

    def write_one(self, cursor: Cursor, record: Record) -> bool:
        """Write a record inside a transaction of the author's, as its last statements. False when the fence is lost."""
        [(_, answer)] = self._write(cursor, [record], repeated=False)
        return isinstance(answer, Recorded) and answer.held

    def forget(self, record: Record) -> None:
        """A run has ended outside the journal, or is no longer ours."""
        with self._noting:
            self._drop(record)

    def _drop(self, record: Record) -> None:
        if self.live.get(record.run_id) == record.fence:
            del self.live[record.run_id]


def _has_left(record: Record, answer: Answer) -> bool:
    """Whether the run is no longer this worker's: it has ended or waits, or its fence was lost."""
    return record.end is not None or (isinstance(answer, Recorded) and not answer.held)
