"""A line that is spoken every leap day: no test runs long enough to meet one, unless it moves the clock."""

from periodiq import cron

from broker import Schedule, Tick
from tests.support.troupe.schemas import LineSpoken


def line(tick: Tick) -> LineSpoken:
    return LineSpoken(folder=f"/nowhere/{tick.slot:%Y}")


leap_day = Schedule("leap-day", cron("0 20 29 2 *"), line, timezone="Europe/Berlin")
