"""At most n runs at once per key, over all processes and machines: the excess waits, first in first out, for a slot.

A slot is a row of a run ([slots.py](../slots.py)), taken in the commit that claims or resumes it and given to the next in the
commit that ends or suspends it, which also wakes that one. A dead worker's run keeps its slot: it is started again at once.
"""

from typing import Any

from broker.actor import Actor
from broker.journal.doors import Asked
from broker.middleware.base import Door, Visit
from broker.slots import Entry, Slots
from broker.timers import QUARANTINE_AFTER

REASON = "concurrency"


class Concurrency(Door):
    """Reads `concurrency` and `priority`. Stands after whatever drops a run (it must hold no slot) and before the throttle. A run
    that goes on after a sleep needs a slot again."""

    option = "concurrency"
    minds_left = True

    @property
    def actor_options(self) -> set[str]:
        return {"concurrency", "priority"}

    def guards(self, actor: Actor[Any, Any]) -> bool:
        return actor.policies.concurrency is not None

    def ask(self, visit: Visit) -> None:
        entries = {run.run_id: self._entry(visit, run) for run in visit.asked if self._limited(visit, run)}
        slots = Slots(visit.cursor)
        slots.lock([*entries.values()], [left.run_id for left in visit.left])
        slots.leave(
            [left.run_id for left in visit.left if not _keeps(left.status)], retrying=_retrying(visit)
        )
        standing = [run for run in visit.asked if run.status is None and run.run_id in entries]
        running = slots.enter([entries[run.run_id] for run in standing])
        for run in standing:
            if run.run_id not in running:
                run.postpone(None, REASON)
        visit.leaving += slots.leaving

    def settle(self, visit: Visit) -> None:
        refused = [run.run_id for run in visit.asked if run.status is not None and run.reason != REASON]
        if refused:
            slots = Slots(visit.cursor)
            slots.leave(refused)
            visit.leaving += slots.leaving

    def _limited(self, visit: Visit, run: Asked) -> bool:
        return visit.policies(run).concurrency is not None

    def _entry(self, visit: Visit, run: Asked) -> Entry:
        actor, claimed = visit.actors[run.actor], run.claimed
        limit = actor.policies.concurrency
        assert limit is not None  # only limited runs come here
        crashed = claimed.crashes >= QUARANTINE_AFTER
        return Entry(
            run_id=run.run_id,
            scope=limit.scope_of(run.actor, claimed.pipeline),
            key=limit.key_of(actor.hears)(run.event),
            cap=limit.limit,
            ordered=limit.ordered,
            priority=actor.policies.priority_of(run.event, actor.hears),
            queue=visit.topology.quarantine if crashed else visit.topology.queue_of(run.actor),
            wake=run.wake,
        )


def _keeps(status: str) -> bool:
    """A run that is handed back starts again at once, in its slot."""
    return status == "queued"


def _retrying(visit: Visit) -> list[Any]:
    return [left.run_id for left in visit.left if left.status == "retrying"]
