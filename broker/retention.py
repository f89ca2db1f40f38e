"""What is forgotten, and when: on by default, in small batches, never anything that an unfinished run needs.

A run's row is kept for the whole `dedup_window`: it is what recognises its event when that comes again. An event older than the
window is parked `too old to know`, because nobody can say any more whether it was done.
"""

import time
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from psycopg import Connection

from broker.metrics import retire

log = structlog.get_logger(__name__)

EVERY_SECONDS = 60.0
BATCH = 1000
"""Rows a statement: some 20 ms, so that neither locks nor replication lag are felt."""
BATCHES = 20
"""A minute's work at most; a backlog is worn off over the next minutes."""

_NOW = "select clock()"

# Ids are UUIDv7, so the primary keys of `run` and `step` are in order of time: no index on a time that completions change.
_STEPS = """
delete from step where (run_id, name, occurrence) in (
    select s.run_id, s.name, s.occurrence from step s join run r on r.id = s.run_id
    where s.run_id < %s and r.finished_at is not null and r.status <> 'failed' order by s.run_id limit %s)"""
_RUNS = """
delete from run where id in (
    select r.id from run r
    where r.id < %s and r.finished_at is not null
      and not exists (select from dead_letter d where d.run_id in (r.id, r.folded_into) and d.settled_at is null)
      and not exists (select from run g where g.id = r.folded_into and g.finished_at is null)
    order by r.id limit %s)"""
# Settled ones, and events that nobody has heard or asked for in the whole window.
_LETTERS = """
delete from dead_letter where id in (
    select id from dead_letter
    where settled_at < clock() - %s::interval or (reason = 'unheard' and created_at < clock() - %s::interval)
    order by id limit %s)"""
_KEYS = """
delete from limit_idempotency where (actor, key) in (
    select k.actor, k.key from limit_idempotency k
    where k.expires_at < clock() - interval '1 hour'
      and not exists (select from run r where r.id = k.run_id and r.finished_at is null) limit %s)"""
_THROTTLES = """
delete from limit_throttle where (actor, key) in (
    select actor, key from limit_throttle where next_at < clock() - interval '1 day' limit %s)"""
_FOLDS = """
delete from limit_fold where (actor, key) in (
    select f.actor, f.key from limit_fold f
    where not exists (select from run r where r.id = f.run_id and r.finished_at is null) order by f.actor, f.key limit %s)"""
# A slot is decided once even without its row: the schedule's next one has moved on.
_TICKS = """
delete from schedule_tick where (schedule, slot) in (
    select schedule, slot from schedule_tick where at < clock() - %s::interval limit %s)"""
# Of runs that ended outside the journal; few, as a look at every row has to be.
_WATCHES = """
delete from cancel_watch where (run_id, place) in (
    select w.run_id, w.place from cancel_watch w
    where w.heard_at is null and not exists (select from run r where r.id = w.run_id and r.finished_at is null) limit %s)"""

# `broadcast_age` and `webhook_delivery_age` serve these.
_BROADCASTS = """
delete from broadcast where id in (
    select id from broadcast where created_at < clock() - %s::interval order by created_at limit %s)"""
_WEBHOOKS = """
delete from webhook_delivery where (webhook, id) in (
    select webhook, id from webhook_delivery where received_at < clock() - %s::interval order by received_at limit %s)"""

# `event_age` serves this.
_EVENTS = """
delete from event where (id, source) in (
    select id, source from event where recorded_at < clock() - %s::interval order by recorded_at limit %s)"""


class Retention:
    """The leader's broom; once a minute."""

    def __init__(
        self,
        *,
        dedup_window: timedelta,
        steps: timedelta,
        look_back: timedelta,
        broadcasts: timedelta = timedelta(hours=1),
    ) -> None:
        self._look_back = look_back
        self._broadcasts = broadcasts
        self._window = dedup_window
        self._steps = min(steps, dedup_window)
        self._next = 0.0

    def sweep(self, connection: Connection) -> int:
        """Forget what is due; returns how many rows. Each batch is a commit of its own. Raises psycopg errors."""
        if time.monotonic() < self._next:
            return 0
        self._next = time.monotonic() + EVERY_SECONDS
        now = _clock(connection)
        steps = self._all(connection, _STEPS, before(now - self._steps), BATCH)
        runs = self._all(connection, _RUNS, before(now - self._window), BATCH)
        rest = self._all(connection, _LETTERS, self._window, self._window, BATCH)
        rest += self._all(connection, _KEYS, BATCH) + self._all(connection, _THROTTLES, BATCH)
        rest += self._all(connection, _FOLDS, BATCH)
        rest += self._all(connection, _TICKS, self._window, BATCH)
        rest += self._all(connection, _EVENTS, self._look_back, BATCH) + self._all(
            connection, _WATCHES, BATCH
        )
        rest += self._all(connection, _BROADCASTS, self._broadcasts, BATCH)
        rest += self._all(connection, _WEBHOOKS, self._window, BATCH)
        retire(connection)
        if steps or runs or rest:
            log.info("forgotten", steps=steps, runs=runs, others=rest)
        return steps + runs + rest

    def _all(self, connection: Connection, statement: str, *parameters: object) -> int:
        gone = 0
        for _ in range(BATCHES):
            batch = connection.execute(statement.encode(), parameters).rowcount
            gone += batch
            if batch < BATCH:
                break
        return gone


def _clock(connection: Connection) -> datetime:
    row = connection.execute(_NOW).fetchone()
    assert row is not None  # a select without from has one row
    moment: datetime = row[0]
    return moment


def before(moment: datetime) -> UUID:
    """The smallest UUIDv7 of a moment: every id made earlier is less."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
