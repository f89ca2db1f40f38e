"""A whole run has so much time, its waits and retries included: what takes longer is a dead letter `timed out`.

The time ends where the row says (`run.deadline_at`): a waiting run is woken then, a running attempt is interrupted then (by the
time limit's guard), and whoever comes to this door afterwards is given up.
"""

from datetime import timedelta
from typing import Any

from broker.actor import Actor
from broker.middleware.base import Door, Visit


class Deadline(Door):
    """Reads `deadline`. Asked whenever a run enters its body, also after a sleep."""

    option = "deadline"

    def guards(self, actor: Actor[Any, Any]) -> bool:
        return actor.policies.deadline is not None

    def ask(self, visit: Visit) -> None:
        for run in visit.asked:
            left = run.claimed.deadline_in
            if run.status is None and left is not None and left <= timedelta(0):
                run.give_up("timed out")
