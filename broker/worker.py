"""Worker threads and the event loop of a process: where claimed runs are performed.

Dramatiq's worker and its threads, with two changes: nothing is consumed here (claimed runs are put on the work queue by the
intake), and a message is settled by its run's outcome, not by an ack.
"""

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import structlog
from dramatiq import Message
from dramatiq.broker import MessageProxy
from dramatiq.middleware import SkipMessage
from dramatiq.worker import Worker

from broker.broker import CallboardBroker
from broker.errors import JournalError
from broker.perform import Performer
from broker.work import Work

log = structlog.get_logger(__name__)


class WorkQueue:
    """What dramatiq's threads read from: a SimpleQueue, which hands over without dramatiq's priority heap and its locks."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()

    def put(self, item: "Item") -> None:
        self._queue.put(item)

    def get(self, timeout: float | None = None) -> "Item":
        return self._queue.get(timeout=timeout)

    def drain(self) -> "list[Item]":
        """Everything not yet taken by a thread."""
        items: list[Item] = []
        while True:
            try:
                items.append(self._queue.get_nowait())
            except queue.Empty:
                return items

    def task_done(self) -> None:
        pass


class RunMessage(MessageProxy):
    """A claimed run in dramatiq's clothes, so that every dramatiq middleware can observe it. Its text holds no payload: dramatiq
    writes it into logs."""

    def __init__(self, work: Work) -> None:
        self.work = work
        name = work.actor.name
        super().__init__(
            Message(
                queue_name=name,
                actor_name=name,
                args=(work,),
                kwargs={},
                options={},
                message_id=work.claimed.envelope.id,
            )
        )

    def __str__(self) -> str:
        return f"{self.work.actor.name}(run {self.work.claimed.id})"

    __repr__ = __str__


class Item:
    """One entry of the work queue."""

    __slots__ = ("message",)

    def __init__(self, work: Work) -> None:
        self.message = RunMessage(work)


class Settler:
    """Stands where dramatiq expects a consumer: after a message its run must have an outcome."""

    def __init__(self, performer: Performer, finished: Callable[[Work], None]) -> None:
        self._performer = performer
        self._finished = finished

    def post_process_message(self, message: RunMessage) -> None:
        self.settle(message.work, getattr(message, "_exception", None))

    def settle(self, work: Work, error: BaseException | None) -> None:
        """Whatever a hook did, the run gets an outcome and its slot comes back."""
        try:
            if not work.settled:
                refused = None if isinstance(error, SkipMessage) else error
                self._performer.settle_unperformed(work, refused)
        except JournalError:
            log.info("left_to_takeover", run_id=str(work.claimed.id))
        except Exception:
            # It must neither end a thread nor be dropped: the least that can be said is recorded.
            log.exception("outcome_without_words", run_id=str(work.claimed.id))
            self._performer.settle_plainly(work)
        finally:
            if not work.replaced:
                self._finished(work)


class Threads(Worker):
    """Dramatiq's worker without consumers."""

    def __init__(self, broker: CallboardBroker, settler: Settler, threads: int) -> None:
        super().__init__(broker, worker_threads=threads, worker_timeout=200)
        self.work_queue = WorkQueue()  # type: ignore[assignment]
        self.settler = settler
        self._stuck: set[int] = set()

    def _add_consumer(self, queue_name: str, *, delay: bool = False) -> None:
        self.consumers[queue_name] = self.settler  # type: ignore[assignment]

    def perform(self, work: Work) -> None:
        """Hand a run to the next free thread."""
        self.work_queue.put(Item(work))  # type: ignore[arg-type]

    def replace(self, stuck: int) -> None:
        """One more thread, in place of one that is stuck outside Python's reach and is not waited for any more."""
        self._stuck.add(stuck)
        self._add_worker()

    def finish(self, timeout: timedelta) -> tuple[list[Work], bool]:
        """Stop taking; wait for running bodies. Returns the runs nobody started, and whether all threads ended in time."""
        unstarted = [item.message.work for item in self.work_queue.drain()]  # type: ignore[attr-defined]
        for thread in self.workers:
            thread.stop()
        ends = time.monotonic() + timeout.total_seconds()
        for thread in self.workers:
            if thread.ident not in self._stuck:
                thread.join(max(0.0, ends - time.monotonic()))
        unstarted += [item.message.work for item in self.work_queue.drain()]  # type: ignore[attr-defined]
        return unstarted, not any(thread.is_alive() for thread in self.workers)


class Loop:
    """The process's event loop in a thread of its own. Posts are coalesced: one wake-up for whatever has gathered."""

    def __init__(self, broker: CallboardBroker, performer: Performer, settler: Settler) -> None:
        self._broker = broker
        self._performer = performer
        self._settler = settler
        self._loop = asyncio.new_event_loop()
        self._posts: deque[Callable[[], None]] = deque()
        self._posted = False
        self._lock = threading.Lock()
        self._tasks: dict[tuple[UUID, int], asyncio.Task[None]] = {}
        self._thread = threading.Thread(target=self._loop.run_forever, name="async-runs", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def post(self, call: Callable[[], None]) -> None:
        """Call this on the loop. From any thread."""
        with self._lock:
            self._posts.append(call)
            if self._posted:
                return
            self._posted = True
        self._loop.call_soon_threadsafe(self._drain)

    def perform(self, work: Work) -> None:
        """Start a run's coroutine."""
        self.post(lambda: self._start(work))

    def cancel(self, work: Work) -> None:
        """End the coroutine of a run that is `cancelled`, where it awaits. From any thread."""
        self.post(lambda: self._cancel(work))

    def finish(self, timeout: timedelta) -> bool:
        """Wait for running coroutines, then stop the loop. False if some were still running."""
        future = asyncio.run_coroutine_threadsafe(self._finish(timeout), self._loop)
        try:
            done: bool = future.result(timeout.total_seconds() + 1)
        except TimeoutError:
            return False  # a coroutine blocks the loop: the process has to go without it
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(2)
        return done

    async def _finish(self, timeout: timedelta) -> bool:
        if not self._tasks:
            return True
        _, late = await asyncio.wait(set(self._tasks.values()), timeout=timeout.total_seconds())
        return not late

    def _drain(self) -> None:
        with self._lock:
            self._posted = False
            calls = list(self._posts)
            self._posts.clear()
        for call in calls:
            call()

    def _start(self, work: Work) -> None:
        task = self._loop.create_task(self._run(work))
        self._tasks[work.key] = task
        task.add_done_callback(lambda _: self._tasks.pop(work.key, None))

    def _cancel(self, work: Work) -> None:
        task = self._tasks.get(work.key)
        # One that has not begun sees for itself; cancelled now it would never be settled.
        if task is not None and work.began:
            task.cancel()

    async def _run(self, work: Work) -> None:
        """As dramatiq's worker thread does it: hooks around the body, and an outcome whatever they do."""
        message = RunMessage(work)
        error: BaseException | None = None
        try:
            self._broker.emit_before("process_message", message)
            await self._performer.perform_async(work, self.post)
            self._broker.emit_after("process_message", message, result=None)
        except SkipMessage as skipped:
            error = skipped
            self._broker.emit_after("skip_message", message)
        except BaseException as raised:
            error = raised
            self._broker.emit_after("process_message", message, exception=raised)
        finally:
            self._settler.settle(work, error)
