"""An evaluation of cron expressions of our own for comparison: slow, minute by minute, and made otherwise than the product's."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)


def instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """The moment that a clock on the wall shows this: the first of two; where there is none, the first after it."""
    while True:
        moment = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None) == wall:
            return moment
        wall += MINUTE


def by_the_wall(minutes: set[int], hours: set[int], day: date, zone: ZoneInfo) -> Sequence[datetime]:
    """The moments of one day of an expression that names its hours."""
    walls = [datetime.combine(day, time(hour, minute)) for hour in hours for minute in minutes]
    return sorted({instant(wall, zone) for wall in walls})


def by_elapsed_time(minutes: set[int], day: date, zone: ZoneInfo) -> Sequence[datetime]:
    """The moments of one day, of 23 to 25 hours, of an expression for every hour."""
    first = instant(datetime.combine(day, time()), zone)
    last = instant(datetime.combine(day + timedelta(days=1), time()), zone)
    every = [first + MINUTE * count for count in range(int((last - first) / MINUTE))]
    return [moment for moment in every if moment.astimezone(zone).minute in minutes]
