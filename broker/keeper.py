"""One thread a process that holds the worker's lock and, while it leads, sweeps: the dead, the due timers, schedules and outbox.
It also hears what people did: runs of its process that were cancelled, actors that are paused.

Every worker tries to lead; a session lock decides. The leader's death frees the lock, and the next look of another finds it.
"""

import threading
import time
import zlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol

import psycopg
import structlog

from broker.database import Database
from broker.journal.batch import Identity
from broker.outbox import Relay
from broker.schedules.scheduler import Scheduler
from broker.takeover import Takeover
from broker.timers import Timers

log = structlog.get_logger(__name__)

_HOLD = "select pg_advisory_lock(%s)"
_LEAD = "select pg_try_advisory_lock(%s)"
MAX_PAUSE_SECONDS = 2.0
SECOND_LOOK_SECONDS = 0.1
"""Between the two looks that must find a lock free: longer than a session takes to be re-made, and it is time that runs wait."""


class Sweep(Protocol):
    """Something else that the leader looks after at each look; it keeps its own pace."""

    def sweep(self, connection: psycopg.Connection) -> int: ...


class Keeper:
    """Start after the journal; `ready` is set once the lock is held, and only then may the process consume."""

    def __init__(
        self,
        database: Database,
        identity: Identity,
        *,
        takeover: Takeover,
        timers: Timers,
        relay: Relay,
        interval: timedelta,
        hears: Sequence[Sweep],
        sweeps: Sequence[Sweep],
        scheduler: Scheduler,
    ) -> None:
        self._database = database
        self._identity = identity
        self._takeover = takeover
        self._timers = timers
        self._relay = relay
        self._interval = interval
        self._hears = hears
        self._sweeps = sweeps
        self._scheduler = scheduler
        self._stop = threading.Event()
        self._nudged = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self.ready = threading.Event()
        self.leading = False

    def start(self) -> None:
        self._thread.start()

    def nudge(self) -> None:
        """Look now instead of at the next interval; for tests that move the clock."""
        self._nudged.set()

    def stop(self, timeout: timedelta = timedelta(seconds=5)) -> None:
        """Release lock and leadership by closing the connection."""
        self._stop.set()
        self._nudged.set()
        if self._thread.is_alive():
            self._thread.join(timeout.total_seconds())

    def _run(self) -> None:
        pause = 0.05
        while not self._stop.is_set():
            try:
                with self._database.connect(f"keeper {self._identity.name}", direct=True) as connection:
                    self._hold(connection)
                    pause = 0.05
                    while not self._stop.is_set():
                        self._look(connection)
            except Exception as error:
                # Whatever it was: without a keeper nothing is swept, so it begins anew.
                log.warning("keeper_interrupted", error=type(error).__name__)
                self._stop.wait(pause)
                pause = min(pause * 2, MAX_PAUSE_SECONDS)
            finally:
                self._identity.locked = False
                self.leading = False

    def _hold(self, connection: psycopg.Connection) -> None:
        """Take this worker's lock. It waits only for a session of our own that the server has not yet given up."""
        connection.execute(_HOLD, (self._identity.lock_key,))
        self._identity.locked = True
        connection.execute("set lock_timeout to '1s'")
        self._patiently(self._takeover.recover, connection)
        for each in self._hears:
            self._patiently(each.sweep, connection)
        self.ready.set()

    def _look(self, connection: psycopg.Connection) -> None:
        began = time.monotonic()
        if not self.leading:
            row = connection.execute(_LEAD, (leader_key(self._database.schema),)).fetchone()
            self.leading = bool(row and row[0])
        busy = self._sweep(connection) if self.leading else False
        # After the sweep: what that has just cancelled stops at once.
        for each in self._hears:
            self._patiently(each.sweep, connection)
        if not self.leading:
            # It also notices within an interval that our own session, and with it the worker's lock, was lost.
            self._takeover.depose(connection, leader_key(self._database.schema))
            self._patiently(self._scheduler.stand_in, connection)
        if not busy:
            interval = SECOND_LOOK_SECONDS if self._takeover.suspects else self._interval.total_seconds()
            left = min(interval, self._interval.total_seconds()) - (time.monotonic() - began)
            self._nudged.wait(max(left, 0))
            self._nudged.clear()

    def _sweep(self, connection: psycopg.Connection) -> bool:
        """True when a full batch was found: there is more."""
        self._patiently(self._takeover.sweep, connection)
        woken = self._timers.sweep(connection)
        self._patiently(self._scheduler.sweep, connection)
        # After the scheduler: what it has just committed leaves at once.
        sent = self._relay.sweep(connection)
        for other in self._sweeps:
            self._patiently(other.sweep, connection)
        return max(woken, sent) >= 500

    def _patiently(self, sweep: Callable[[psycopg.Connection], int], connection: psycopg.Connection) -> None:
        """Rows that somebody holds for long are for the next look: the timers must not wait for them."""
        try:
            sweep(connection)
        except psycopg.errors.LockNotAvailable:
            log.info("sweep_waits_for_a_row")


def leader_key(schema: str) -> int:
    """One leader a namespace."""
    return 0x6C656164_00000000 | zlib.crc32(schema.encode())
