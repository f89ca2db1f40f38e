"""When a cron expression fires, in a time zone: cronsim's evaluation, and what we decide on days with a change of clocks."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from broker.errors import ConfigurationError

NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_ALL = ("0-59", "0-23")
_RANGES = {
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31",
    "month": "1-12 or jan-dec",
    "day-of-week": "0-7 or sun-sat",
}
_ANY = frozenset(range(60))
_FIRST_LOOK = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Timetable:
    """The moments of one expression in one zone. All moments given and taken are aware; those returned are in UTC.

    With `*` as its hour an expression goes by elapsed time: `*/15 * * * *` fires every 15 minutes, whatever the clocks do. Any
    other goes by the clock on the wall: a time that a change of clocks skips fires at the next instant there is, one that comes
    twice fires the first time. Day of month and day of week are both obeyed if one of them begins with `*`, else one of them
    is enough; so it is in Debian's cron.
    """

    expression: str
    timezone: str

    def __post_init__(self) -> None:
        """Raises ConfigurationError for what is no expression, for one that never fires, and for an unknown zone."""
        _zone(self.timezone)
        _refuse_unreadable(self.expression)
        _evaluated(self.expression)
        if next(self.after(datetime.now(UTC)), None) is None:
            raise ConfigurationError(f"{self.expression!r} never fires")

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The moments later than this one, in order, without an end unless there are none for 50 years."""
        cron = CronSim(_evaluated(self.expression), moment.astimezone(_zone(self.timezone)))
        wanted = frozenset(cron.minutes) if cron.fixup_tz is None else _ANY
        if len(wanted) == 1:
            # To a single minute it goes in one stride, which on Lord Howe Island, where clocks change by 30 minutes, misses it.
            cron.minutes |= {(min(wanted) + 1) % 60}
        for found in cron:
            # Begun in the second of two equal hours, it tells what was in the first.
            if (instant := found.astimezone(UTC)) > moment and found.minute in wanted:
                yield instant

    def next(self, moment: datetime) -> datetime:
        """The first one later than `moment`."""
        return next(self.after(moment))

    def latest(self, since: datetime, until: datetime, most: int) -> list[datetime]:
        """The moments from `since` to `until`, both included, in order; of more than `most` the latest.

        An expression of minutes and an outage of years cost no more than an expression of years and an outage of minutes.
        """
        look = _FIRST_LOOK
        while True:
            start = max(until - look, since)
            found = list(self._between(start, until))
            if start == since or len(found) >= most:
                return found[-most:]
            look *= 4

    def _between(self, since: datetime, until: datetime) -> Iterator[datetime]:
        for instant in self.after(since - timedelta(seconds=1)):
            if instant > until:
                return
            yield instant


def nearest_timezone(name: str) -> str:
    """`; did you mean …?` for an error text, or nothing."""
    near = difflib.get_close_matches(name, available_timezones(), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _zone(name: str) -> ZoneInfo:
    """Raises ConfigurationError."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"{name!r} is no time zone{nearest_timezone(name)}; write it like 'Europe/Berlin'"
        ) from error


@lru_cache(maxsize=1024)
def _evaluated(expression: str) -> str:
    """As cronsim is to read it. Raises ConfigurationError.

    It goes by elapsed time wherever minute or hour begins with `*`: so a star may only stay where we want that.
    """
    minute, hour, *days = NAMED.get(expression.strip().lower(), expression).split()
    if hour != "*" and hour != "*/1":
        minute, hour = (field.replace("*", every) for field, every in zip((minute, hour), _ALL, strict=True))
    # A week may end on Sunday: `fri-sun`.
    days[-1] = ",".join(
        part[:-3] + "7" if part.lower().endswith("-sun") else part for part in days[-1].split(",")
    )
    return " ".join((minute, hour, *days))


def _refuse_unreadable(expression: str) -> None:
    """Raises ConfigurationError naming the field at fault."""
    fields = NAMED.get(expression.strip().lower(), expression).split()
    if expression.strip().startswith("@") and len(fields) == 1:
        raise ConfigurationError(f"{expression!r} is unknown; there are {', '.join(NAMED)}")
    if len(fields) != 5:
        raise ConfigurationError(
            f"{expression!r} has {len(fields)} field(s): a cron expression has five, minute hour day-of-month month day-of-week"
        )
    for place, (name, allowed) in enumerate(_RANGES.items()):
        alone = ["*"] * 5
        alone[place] = fields[place]
        if not _readable(alone):
            raise ConfigurationError(f"{fields[place]!r} in {expression!r} is no {name} ({allowed})")
    if not _readable(fields):
        raise ConfigurationError(f"{expression!r} never fires: none of its months has such a day")


def _readable(fields: list[str]) -> bool:
    try:
        CronSim(_evaluated(" ".join(fields)), datetime(2000, 1, 1, tzinfo=UTC))
    except (CronSimError, AssertionError):
        return False
    return True
