"""When expressions fire, compared: with another library where clocks do not change, with a slow model of ours where they do."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from croniter import croniter
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from broker import ConfigurationError
from broker.schedules.timetable import NAMED, Timetable
from tests.broker.schedules.moments import by_elapsed_time, by_the_wall

BERLIN, HAVANA, LORD_HOWE, NEW_YORK = (
    "Europe/Berlin",
    "America/Havana",
    "Australia/Lord_Howe",
    "America/New_York",
)
DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
moments = st.integers(0, 10 * 365 * 24 * 60).map(lambda minutes: BEGIN + timedelta(minutes=minutes))
"""Of ten years."""


@st.composite
def fields(draw: st.DrawFn, low: int, high: int, names: Sequence[str] = ()) -> str:
    """One field: a star, numbers, ranges and steps, joined by commas."""

    def number() -> str:
        value = draw(st.integers(low, high))
        return draw(
            st.sampled_from([str(value), *([names[value - low]] if value - low < len(names) else [])])
        )

    def part() -> str:
        first, last = sorted(draw(st.lists(st.integers(low, high), min_size=2, max_size=2, unique=True)))
        step = draw(st.integers(1, high - low))
        return draw(
            st.sampled_from([number(), f"{first}-{last}", f"{first}-{last}/{step}", f"{low}-{high}/{step}"])
        )

    return draw(
        st.sampled_from(
            ["*", f"*/{draw(st.integers(1, high))}", ",".join(part() for _ in range(draw(st.integers(1, 3))))]
        )
    )


@st.composite
def expressions(draw: st.DrawFn) -> str:
    """Any of our language but a day of month beside a day of week with a star and a step: others read those otherwise."""
    minute, hour = draw(fields(0, 59)), draw(fields(0, 23))
    month = draw(
        fields(1, 12, ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"])
    )
    day, weekday = draw(fields(1, 31)), draw(fields(0, 6, DAYS))
    if "*/" in day or "*/" in weekday or draw(st.booleans()):
        day, weekday = draw(st.sampled_from([(day, "*"), ("*", weekday)]))
    return draw(st.sampled_from([f"{minute} {hour} {day} {month} {weekday}"] * 9 + list(NAMED)))


def table(expression: str, zone: str) -> Timetable:
    """Of an expression that fires at all; others are no example."""
    try:
        return Timetable(expression, zone)
    except ConfigurationError as error:
        if "never fires" not in str(error):
            raise
        reject()


@settings(max_examples=200, deadline=None)
@given(expressions(), moments)
def test_where_clocks_never_change_it_agrees_with_another_library(expression: str, begin: datetime) -> None:
    ours = list(islice(table(expression, "UTC").after(begin), 20))
    theirs = croniter(expression, begin)
    assert ours == [theirs.get_next(datetime) for _ in ours]


@settings(max_examples=100, deadline=None)
@given(expressions(), moments, st.sampled_from([BERLIN, NEW_YORK, HAVANA, LORD_HOWE]))
def test_on_days_without_a_change_it_agrees_with_another_library(
    expression: str, moment: datetime, name: str
) -> None:
    zone = ZoneInfo(name)
    begin = moment.astimezone(zone).replace(hour=0, minute=0, fold=0)
    assume(begin.utcoffset() == (begin + DAY).utcoffset())
    ours = table(expression, name).latest(begin, begin + DAY - SECOND, 2000)
    theirs = croniter(expression, begin.replace(tzinfo=None) - SECOND).all_next(datetime)
    today = takewhile(lambda wall: wall.date() == begin.date(), theirs)
    assert ours == [wall.replace(tzinfo=zone).astimezone(UTC) for wall in today]


CHANGES = [
    (BERLIN, date(2027, 3, 28)), (BERLIN, date(2027, 10, 31)),
    (NEW_YORK, date(2027, 3, 14)), (NEW_YORK, date(2027, 11, 7)),
    (HAVANA, date(2027, 3, 14)), (HAVANA, date(2027, 11, 7)),
    (LORD_HOWE, date(2027, 10, 3)), (LORD_HOWE, date(2027, 4, 4)),
    ("Pacific/Chatham", date(2027, 9, 26)), ("Africa/Casablanca", date(2027, 2, 7)),
]  # fmt: skip
hours = st.sets(st.integers(0, 23), min_size=1, max_size=8)
minutes = st.sets(st.integers(0, 59), min_size=1, max_size=6)


def listed(values: set[int]) -> str:
    return ",".join(str(value) for value in sorted(values))


@settings(max_examples=200, deadline=None)
@given(minutes, hours, st.sampled_from(CHANGES))
def test_on_a_day_with_a_change_of_clocks_the_wall_decides(
    minutes: set[int], hours: set[int], change: tuple[str, date]
) -> None:
    name, day = change
    zone = ZoneInfo(name)
    expected = by_the_wall(minutes, hours, day, zone)
    found = Timetable(f"{listed(minutes)} {listed(hours)} * * *", name).latest(
        expected[0], expected[-1], 1000
    )
    assert found == expected


@settings(max_examples=100, deadline=None)
@given(minutes, st.sampled_from(CHANGES))
def test_on_a_day_with_a_change_of_clocks_every_hour_is_every_hour(
    minutes: set[int], change: tuple[str, date]
) -> None:
    name, day = change
    expected = by_elapsed_time(minutes, day, ZoneInfo(name))
    assert Timetable(f"{listed(minutes)} * * * *", name).latest(expected[0], expected[-1], 2000) == expected


@settings(max_examples=100, deadline=None)
@given(minutes, hours, st.sampled_from(CHANGES), st.integers(0, 48 * 60))
def test_wherever_one_begins_the_moments_are_the_same(
    minutes: set[int], hours: set[int], change: tuple[str, date], later: int
) -> None:
    """A scheduler that starts in the second of two equal hours once found what was due in the first."""
    name, day = change
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=1)
    table = Timetable(f"{listed(minutes)} {listed(hours)} * * *", name)
    moment = begin + timedelta(minutes=later)
    assert table.next(moment) == next(each for each in table.after(begin) if each > moment)
