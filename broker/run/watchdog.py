"""The one thread of a process that looks after time limits. It starts with the first limit, so never before a fork.

It keeps one entry a thread, not a heap of deadlines: a heap would hold the entries of runs that ended long ago until
they are due (600,000 of them at 1,000 runs a second and a limit of 10 minutes), and there are few threads to scan.
"""

import math
import os
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from broker.run.thread_guard import ThreadGuard

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Watched:
    """A guarded body. `on_stuck` is called at most once, in the watchdog's thread."""

    guard: ThreadGuard
    on_stuck: Callable[[], None]
    reported: bool = False


class Watchdog:
    """Interrupts what is due, and reports what does not react within `stuck_after`."""

    def __init__(self, stuck_after: timedelta) -> None:
        self._stuck_after = stuck_after.total_seconds()
        self._forget()
        forget = weakref.WeakMethod(self._forget)
        os.register_at_fork(after_in_child=lambda: (alive := forget()) and alive())

    def watch(self, watched: Watched, limit: timedelta) -> None:
        """Replaces whatever was watched in this thread. Call it before the guard is armed: it takes a lock."""
        self._watched[threading.get_ident()] = watched
        if self._thread is None:
            self._start()
        if time.monotonic() + limit.total_seconds() < self._next_look:
            self._wake.set()

    def unwatch(self) -> None:
        """Called by the thread itself, its guard disarmed. Only a thread writes its own entry."""
        self._watched.pop(threading.get_ident(), None)

    @property
    def running(self) -> bool:
        return self._thread is not None

    def _forget(self) -> None:
        """A forked child has none of its parent's threads, and must not wait for their locks."""
        self._watched: dict[int, Watched] = {}
        self._starting = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._next_look = math.inf

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="time-limits", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._wake.clear()
            # From here until it is known, any new limit wakes the watchdog: the snapshot below may miss it.
            self._next_look = math.inf
            pause = self._look_at_all()
            self._next_look = time.monotonic() + pause
            self._wake.wait(None if pause == math.inf else pause)

    def _look_at_all(self) -> float:
        """Seconds until something may be due; infinite when nothing is watched."""
        pause = math.inf
        for watched in list(self._watched.values()):
            if watched.reported:
                continue
            again, stuck = watched.guard.look(self._stuck_after)
            if stuck:
                self._report(watched)
            else:
                pause = min(pause, again)
        return pause

    def _report(self, watched: Watched) -> None:
        watched.reported = True
        try:
            watched.on_stuck()
        except Exception:
            # The other threads still need their limits. The process has been told to go, and with it goes the stuck run's lock.
            log.exception("stuck_report_failed")
