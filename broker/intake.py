"""From a delivery to a claim: read it, ask the journal, settle the delivery, hand the run on. Claims are made only while there is
room ([lane.py](lane.py)).
"""

import threading
from collections.abc import Callable
from functools import partial

import structlog

from broker.broker import CallboardBroker
from broker.errors import JournalError
from broker.journal.claimed import ClaimedRun
from broker.journal.intents import Answer, Defer, Hear, Intent, Park, Recorded, Resume
from broker.journal.writer import Journal
from broker.lane import Lane
from broker.reading import Reader, park
from broker.transports.base import Delivery

log = structlog.get_logger(__name__)

ANSWERS_SECONDS = 3.0
"""How long a stop waits for claims on their way: many commits' time, unless PostgreSQL is away."""

HandOver = Callable[[ClaimedRun, bool], None]
"""Takes the run and the lane whose room it has: False the threads', True the loop's."""


class Intake:
    """The sink of a process. `finished` frees the room of a run that has left its slot."""

    def __init__(
        self,
        broker: CallboardBroker,
        journal: Journal,
        reader: Reader,
        hand_over: HandOver,
        *,
        sync_lane: Lane,
        async_lane: Lane,
        recorder: tuple[str, Lane],
    ) -> None:
        self._broker = broker
        self._journal = journal
        self._reader = reader
        self._hand_over = hand_over
        self._lanes = {False: sync_lane, True: async_lane}
        self._recorder, self._recorder_lane = recorder
        self._lock = threading.Lock()
        self._claiming = 0
        self._answered_all = threading.Condition(self._lock)
        self._stopped = False

    @property
    def held(self) -> int:
        """Deliveries that have come and whose claim is not committed: they are in no queue, and no run is running for them."""
        with self._lock:
            lanes = (*self._lanes.values(), self._recorder_lane)
            return self._claiming + sum(len(lane.waiting) for lane in lanes)

    def offer(self, delivery: Delivery) -> None:
        """Called from the transport's thread."""
        lane = self._lane(delivery.queue)
        with self._lock:
            lane.waiting.append(delivery)
        self._pump(lane)

    def finished(self, asynchronous: bool, queue: str, lasted: float) -> None:
        """A run has left the room it was claimed for, after so many seconds in its body: the lane of its queue, which in
        quarantine is the threads' for all."""
        lane = self._lanes[asynchronous]
        with self._lock:
            lane.leave(queue, lasted)
        self._pump(lane)

    def gone(self, asynchronous: bool) -> None:
        """A claimed run that nobody here can perform has been recorded."""
        self._freed(self._lanes[asynchronous])

    def stop(self) -> None:
        """Take no more: what was not claimed goes back to its queue, and claims on their way are waited for, so that their runs
        can still be handed back."""
        with self._lock:
            self._stopped = True
            lanes = (*self._lanes.values(), self._recorder_lane)
            unclaimed = [delivery for lane in lanes for delivery in lane.waiting]
            for lane in lanes:
                lane.waiting.clear()
            self._answered_all.wait_for(lambda: not self._claiming, ANSWERS_SECONDS)
        for delivery in unclaimed:
            delivery.give_back()

    def _lane(self, queue: str) -> Lane:
        if queue == self._recorder:
            return self._recorder_lane
        actor = self._broker.actor_of_queue(queue)
        return self._lanes[actor is not None and actor.asynchronous]

    def _pump(self, lane: Lane) -> None:
        while (delivery := self._next(lane)) is not None:
            intent = self._reader.read(delivery)
            try:
                self._journal.submit(intent, partial(self._answered, lane, delivery, intent))
            except JournalError:
                delivery.give_back()
                self._claim_ended()

    def _next(self, lane: Lane) -> Delivery | None:
        """A delivery to claim, its room taken; None without delivery or room."""
        with self._lock:
            delivery = None if self._stopped else lane.take()
            self._claiming += delivery is not None
            return delivery

    def _answered(
        self, lane: Lane, delivery: Delivery, intent: Intent, answer: Answer | BaseException
    ) -> None:
        """In the journal's thread: the intent is committed, or PostgreSQL refused it."""
        if isinstance(answer, BaseException):
            return self._refused(lane, delivery, intent, answer)
        try:
            return self._settle(lane, delivery, answer)
        finally:
            self._claim_ended()

    def _freed(self, lane: Lane) -> None:
        with self._lock:
            lane.give_back()
        self._pump(lane)

    def _claim_ended(self) -> None:
        with self._answered_all:
            self._claiming -= 1
            self._answered_all.notify_all()

    def _settle(self, lane: Lane, delivery: Delivery, answer: Answer) -> None:
        delivery.mark_deleted()
        delivery.ack()
        if isinstance(answer, ClaimedRun):
            self._hand_over(answer, lane is self._lanes[True])
            return
        if not isinstance(answer, Recorded):
            log.debug("delivery_declined", queue=delivery.queue, status=answer.status, reason=answer.reason)
        self._freed(lane)
        return

    def _refused(self, lane: Lane, delivery: Delivery, intent: Intent, error: BaseException) -> None:
        """A claim that cannot be recorded (a key function raised, a text PostgreSQL does not hold) is parked with its raw bytes;
        a park or a deferral that fails goes back to its queue; a wake-up is dropped, for its run stays due and is woken again."""
        if isinstance(intent, Park | Defer | Resume | Hear):
            log.error("delivery_refused", queue=delivery.queue, error=str(error))
            if not isinstance(intent, Resume):
                delivery.give_back()
            else:
                delivery.ack()
            with self._lock:
                lane.give_back()
            self._claim_ended()
            return
        parked = park(delivery, "cannot be recorded", error)
        self._journal.submit(parked, partial(self._answered, lane, delivery, parked))
