"""An event older than this is not worth doing any more: a dead letter `expired`, so that somebody may decide otherwise."""

from typing import Any

from broker.actor import Actor
from broker.middleware.base import Door, Visit

_NOW = "select clock()"


class MaxAge(Door):
    """Reads `max_age`. Stands first: what is too old must use up neither key nor start. Its age is asked at its first start
    only; a run that has begun is finished, and one that has gathered was asked when it began to."""

    option = "max_age"

    def guards(self, actor: Actor[Any, Any]) -> bool:
        return actor.policies.max_age is not None

    def ask(self, visit: Visit) -> None:
        aging = [
            (run, age)
            for run in visit.starting()
            if run.fresh
            and not run.claimed.rerun
            and (age := visit.policies(run).max_age) is not None
            and not (run.claimed.fence > 1 and visit.policies(run).gathering)
        ]
        if not aging:
            return
        [(now,)] = visit.cursor.execute(_NOW).fetchall()
        for run, age in aging:
            if now - run.claimed.envelope.time > age:
                run.give_up("expired")
