"""What a process performs right now: claimed runs come in, each on a thread or on the event loop, and leave with an outcome."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Protocol
from uuid import UUID

import structlog

from broker.broker import CallboardBroker
from broker.errors import JournalError
from broker.journal.claimed import ClaimedRun
from broker.journal.intents import Record
from broker.middleware.time_limit import TimeLimit
from broker.perform import Performer
from broker.settlement import Settlement
from broker.signals import TimeLimitReached
from broker.work import Work
from broker.worker import Loop, Settler, Threads

log = structlog.get_logger(__name__)


class Room(Protocol):
    """Where claimed runs had their places, which they give back."""

    def finished(self, asynchronous: bool, queue: str, lasted: float) -> None: ...
    def gone(self, asynchronous: bool) -> None: ...


class Bodies:
    """`forget` drops what the journal knows of an attempt that is nobody's any more."""

    def __init__(
        self,
        broker: CallboardBroker,
        performer: Performer,
        settlement: Settlement,
        threads: int,
        forget: Callable[[Record], None],
    ) -> None:
        self._broker = broker
        self._performer = performer
        self._settlement = settlement
        self._forget = forget
        self._settler = Settler(performer, self._left)
        self._threads = Threads(broker, self._settler, threads)
        self._loop = Loop(broker, performer, self._settler)
        self._works: dict[tuple[UUID, int], Work] = {}
        self._room: Room
        self.worn = threading.Event()
        """Set once a body is stuck outside Python's reach: its thread is lost, so this process wants to be replaced."""
        broker.policy(TimeLimit).on_stuck = self._stuck

    def start(self, room: Room) -> None:
        self._room = room
        self._threads.start()
        self._loop.start()

    def finish(self, limit: timedelta) -> bool:
        """Hand back what has not begun, wait for the rest. False if some were still running after `limit`."""
        ends = time.monotonic() + limit.total_seconds()
        unstarted, threads_done = self._threads.finish(limit)
        for work in unstarted:
            with suppress(JournalError):
                self._performer.hand_back(work)
        loop_done = self._loop.finish(timedelta(seconds=max(0.0, ends - time.monotonic())))
        return threads_done and loop_done

    def perform(self, claimed: ClaimedRun, asynchronous_lane: bool) -> None:
        """From the journal's thread: a claimed run, to whoever performs it."""
        actor = self._broker.find_actor(claimed.actor)
        if actor is None:
            return self._settlement.orphan(claimed, lambda: self._room.gone(asynchronous_lane))
        work = Work(actor, claimed, asynchronous_lane=asynchronous_lane)
        self._works[work.key] = work
        if actor.asynchronous:
            self._loop.perform(work)
        else:
            self._threads.perform(work)
        return None

    def cancel(self, run_id: UUID, fence: int) -> bool:
        """From the keeper's thread: this attempt is nobody's any more. A coroutine is stopped where it awaits, a thread at its
        next verb. False if it is not here."""
        if (work := self._works.get((run_id, fence))) is None:
            return False
        log.info("body_stops", run_id=str(run_id), actor=work.claimed.actor, reason="cancelled")
        work.cancelled = True
        self._forget(Record(run_id, fence))
        if work.actor.asynchronous:
            self._loop.cancel(work)
        return True

    def _stuck(self, work: Work) -> None:
        """From the watchdog: a body sits in C past its limit. Its attempt fails now, another thread takes its slot, and what the
        lost thread may still write is refused by the run's row, which is not `running` any more.

        Whatever of this fails, the process is replaced, and a run that still has no outcome is taken over."""
        log.error("body_stuck", run_id=str(work.claimed.id), actor=work.claimed.actor)
        work.replaced = True
        try:
            self._settler.settle(work, TimeLimitReached("the body is stuck outside Python"))
            self._threads.replace(work.thread)
            self._left(work)
        finally:
            self.worn.set()

    def _left(self, work: Work) -> None:
        self._works.pop(work.key, None)
        lasted = time.monotonic() - work.began if work.began else 0.0
        self._room.finished(work.asynchronous_lane, self._broker.queue_of(work.actor), lasted)
