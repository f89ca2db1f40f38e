"""Which of the ticks that are due are published: the policy for missed ones, as a calculation."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from broker.schedules.schedule import MOST_CAUGHT_UP, Missed
from broker.schedules.timetable import Timetable

Kind = Literal["due", "late", "skipped"]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a schedule's row says about missed ticks."""

    missed: Missed
    grace: timedelta
    max_age: timedelta | None
    catch_up: int


@dataclass(frozen=True, slots=True)
class Due:
    """A tick to be written. `skipped` ones publish nothing; `before` earlier ones were let go with it, where MOST_CAUGHT_UP
    means so many or more."""

    slot: datetime
    kind: Kind
    before: int = 0


def due(timetable: Timetable, rules: Rules, since: datetime, now: datetime) -> Sequence[Due]:
    """What the time from the slot `since` to `now` owes, in order."""
    slots = timetable.latest(since, now, MOST_CAUGHT_UP)
    if not slots:
        return ()
    wanted = [slot for slot in _wanted(slots, rules, now) if _fresh(slot, rules, now)]
    before = MOST_CAUGHT_UP if len(slots) == MOST_CAUGHT_UP else len(slots) - max(len(wanted), 1)
    if not wanted:
        return (Due(slots[-1], "skipped", before),)
    dues = [Due(slot, "late" if now - slot > rules.grace else "due") for slot in wanted]
    return (Due(dues[0].slot, dues[0].kind, before if len(wanted) < len(slots) else 0), *dues[1:])


def _wanted(slots: Sequence[datetime], rules: Rules, now: datetime) -> Sequence[datetime]:
    missed = [slot for slot in slots if now - slot > rules.grace]
    punctual = slots[len(missed) :]
    match rules.missed:
        case Missed.ALL:
            return [*missed[-rules.catch_up :], *punctual]
        case Missed.ONE:
            return punctual or missed[-1:]
        case Missed.SKIP:
            return punctual


def _fresh(slot: datetime, rules: Rules, now: datetime) -> bool:
    return rules.max_age is None or now - slot <= rules.max_age
