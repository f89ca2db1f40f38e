"""What can be wrong with schedules before the first tick."""

from collections.abc import Sequence
from typing import Any

from broker.actor import Actor
from broker.schedules.schedule import Schedule
from broker.wiring import Fault


def check_schedules(schedules: Sequence[Schedule], actors: Sequence[Actor[Any, Any]]) -> list[Fault]:
    """Twins, and events that nobody hears."""
    heard = {kind for actor in actors for kind in actor.hears}
    names = [schedule.name for schedule in schedules]
    faults = [
        Fault(f"schedule {name}", "declared twice", "rename one of them")
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    return faults + [
        Fault(
            f"event {schedule.kind.event_type}",
            f"schedule {schedule.name} publishes it and nobody hears it",
            'write an actor whose first parameter is this event, or declare it audience="outside" if other services hear it',
        )
        for schedule in schedules
        if schedule.kind not in heard and schedule.kind.event_audience == "house"
    ]
