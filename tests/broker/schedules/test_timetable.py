"""When expressions fire, by table: on the days when clocks change, in leap years, with names and numbers."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest

from broker import ConfigurationError
from broker.schedules.timetable import Timetable

BERLIN, HAVANA, LORD_HOWE, NEW_YORK = (
    "Europe/Berlin",
    "America/Havana",
    "Australia/Lord_Howe",
    "America/New_York",
)


def walls(expression: str, zone: str, day: str, count: int = 100) -> list[str]:
    """What the clock on the wall shows at the first `count` moments of the day."""
    local = ZoneInfo(zone)
    begin = datetime.fromisoformat(day).replace(tzinfo=local)
    found = Timetable(expression, zone).after(begin - timedelta(seconds=1))
    today = takewhile(lambda moment: moment.astimezone(local).date() == begin.date(), found)
    return [f"{moment.astimezone(local):%H:%M%z}"[:-2] for moment in islice(today, count)]


def dates(expression: str, since: str, count: int) -> list[str]:
    found = Timetable(expression, "UTC").after(datetime.fromisoformat(since).replace(tzinfo=UTC))
    return [f"{moment:%a %Y-%m-%d %H:%M}" for moment in islice(found, count)]


@pytest.mark.parametrize(
    ("expression", "zone", "day", "expected"),
    [
        # 02:00 to 03:00 does not exist: what was due then fires at 03:00, once.
        ("30 2 * * *", BERLIN, "2027-03-28", ["03:00+02"]),
        ("0 3 * * *", BERLIN, "2027-03-28", ["03:00+02"]),
        ("*/10 2 * * *", BERLIN, "2027-03-28", ["03:00+02"]),
        ("15,45 2,3 * * *", BERLIN, "2027-03-28", ["03:00+02", "03:15+02", "03:45+02"]),
        ("0 */2 * * *", BERLIN, "2027-03-28", ["00:00+01", "03:00+02", *[f"{h:02}:00+02" for h in range(4, 24, 2)]]),
        ("30 2 * * *", NEW_YORK, "2027-03-14", ["03:00-04"]),
        ("0 0 * * *", HAVANA, "2027-03-14", ["01:00-04"]),
        ("10 2 * * *", LORD_HOWE, "2027-10-03", ["02:30+11"]),
        # 02:00 to 03:00 comes twice: the first time counts.
        ("30 2 * * *", BERLIN, "2027-10-31", ["02:30+02"]),
        ("0 3 * * *", BERLIN, "2027-10-31", ["03:00+01"]),
        ("*/30 1-3 * * *", BERLIN, "2027-10-31", ["01:00+02", "01:30+02", "02:00+02", "02:30+02", "03:00+01", "03:30+01"]),
        ("30 1 * * *", NEW_YORK, "2027-11-07", ["01:30-04"]),
        ("30 0 * * *", HAVANA, "2027-11-07", ["00:30-04"]),
        ("45 1 * * *", LORD_HOWE, "2027-04-04", ["01:45+11"]),
        # Every hour is every hour: 23 of them in spring, 25 in autumn.
        ("30 * * * *", BERLIN, "2027-03-28", ["00:30+01", "01:30+01", *[f"{h:02}:30+02" for h in range(3, 24)]]),
        ("30 * * * *", BERLIN, "2027-10-31", [*[f"{h:02}:30+02" for h in range(3)], *[f"{h:02}:30+01" for h in range(2, 24)]]),
        # Nothing happens to those who do not change their clocks, nor to others on other days.
        ("30 2 * * *", "UTC", "2027-03-28", ["02:30+00"]),
        ("30 2 * * *", "Asia/Kolkata", "2027-03-28", ["02:30+05"]),
        ("30 2 * * *", BERLIN, "2027-03-27", ["02:30+01"]),
        ("30 2 * * *", BERLIN, "2027-11-01", ["02:30+01"]),
    ],
)  # fmt: skip
def test_when_clocks_change(expression: str, zone: str, day: str, expected: Sequence[str]) -> None:
    assert walls(expression, zone, day) == expected


@pytest.mark.parametrize(
    ("expression", "since", "expected"),
    [
        ("0 0 29 2 *", "2027-01-01", ["Tue 2028-02-29 00:00", "Sun 2032-02-29 00:00", "Fri 2036-02-29 00:00"]),
        ("0 0 29 2 *", "2096-03-01", ["Fri 2104-02-29 00:00"]),  # 2100 is no leap year
        ("0 0 31 * *", "2027-01-31", ["Wed 2027-03-31 00:00", "Mon 2027-05-31 00:00"]),
        ("0 0 * * sun", "2027-01-01", ["Sun 2027-01-03 00:00", "Sun 2027-01-10 00:00"]),
        ("0 0 * * 0", "2027-01-01", ["Sun 2027-01-03 00:00"]),
        ("0 0 * * 7", "2027-01-01", ["Sun 2027-01-03 00:00"]),
        ("0 0 * * 6-7", "2027-01-01", ["Sat 2027-01-02 00:00", "Sun 2027-01-03 00:00", "Sat 2027-01-09 00:00"]),
        ("0 0 * * fri-sun", "2027-01-01", ["Sat 2027-01-02 00:00", "Sun 2027-01-03 00:00", "Fri 2027-01-08 00:00"]),
        ("0 0 * * sun-mon", "2027-01-01", ["Sun 2027-01-03 00:00", "Mon 2027-01-04 00:00", "Sun 2027-01-10 00:00"]),
        ("0 0 * * Mon,WED", "2027-01-01", ["Mon 2027-01-04 00:00", "Wed 2027-01-06 00:00"]),
        ("0 0 1 jan,Jul *", "2027-01-01", ["Thu 2027-07-01 00:00", "Sat 2028-01-01 00:00"]),
        ("0 9-17/4 * * *", "2027-01-01", [f"Fri 2027-01-01 {h}:00" for h in ("09", "13", "17")]),
        ("*/5 9-17 * * 1-5", "2027-01-02T10:02", ["Mon 2027-01-04 09:00", "Mon 2027-01-04 09:05"]),
        ("* * 1 * *", "2027-01-15T10:30", ["Mon 2027-02-01 00:00", "Mon 2027-02-01 00:01"]),
        ("5/20 0 * * *", "2027-01-01", ["Fri 2027-01-01 00:05", "Fri 2027-01-01 00:25", "Fri 2027-01-01 00:45"]),
        ("0 0 13 * fri", "2027-01-01", ["Fri 2027-01-08 00:00", "Wed 2027-01-13 00:00", "Fri 2027-01-15 00:00"]),
        ("@weekly", "2027-01-01", ["Sun 2027-01-03 00:00"]),
        ("@monthly", "2027-01-01", ["Mon 2027-02-01 00:00"]),
        ("@yearly", "2027-01-01", ["Sat 2028-01-01 00:00"]),
        ("@annually", "2027-01-01", ["Sat 2028-01-01 00:00"]),
        ("@daily", "2027-01-01", ["Sat 2027-01-02 00:00"]),
        ("@midnight", "2027-01-01", ["Sat 2027-01-02 00:00"]),
        ("@hourly", "2027-01-01", ["Fri 2027-01-01 01:00"]),
    ],
)  # fmt: skip
def test_what_expressions_mean(expression: str, since: str, expected: Sequence[str]) -> None:
    assert dates(expression, since, len(expected)) == expected


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("", "0 field"),
        ("* * * *", "4 field"),
        ("0 * * * * *", "6 field"),
        ("60 * * * *", "'60' .* no minute"),
        ("0 24 * * *", "'24' .* no hour"),
        ("0 0 0 * *", "'0' .* no day-of-month"),
        ("0 0 * 13 *", "'13' .* no month"),
        ("0 0 * july *", "'july' .* no month"),
        ("0 0 * * 8", "'8' .* no day-of-week"),
        ("0 0 * * sunday", "'sunday' .* no day-of-week"),
        ("*/0 * * * *", "no minute"),
        ("5-1 * * * *", "no minute"),
        ("1, * * * *", "no minute"),
        ("-1 * * * *", "no minute"),
        ("1.5 * * * *", "no minute"),
        ("٣ * * * *", "no minute"),
        ("0 0 30 2 *", "never fires"),
        ("0 0 31 4,6,9,11 *", "never fires"),
        ("0 0 */31 2 mon#5", "never fires"),
        ("@reboot", "unknown"),
    ],
)
def test_what_cannot_be_read_or_never_fires_is_refused(expression: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Timetable(expression, "UTC")


@pytest.mark.parametrize("zone", ["Europe/Berln", "europe/berlin", "", "../etc/passwd", "CEST"])
def test_an_unknown_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(ConfigurationError, match="no time zone"):
        Timetable("0 0 * * *", zone)


def test_the_latest_of_ten_years_are_found_whatever_the_expression() -> None:
    until = datetime(2037, 1, 1, tzinfo=UTC)
    since = until - timedelta(days=3653)
    minutely = Timetable("* * * * *", "UTC").latest(since, until, 10)
    assert minutely == [until - timedelta(minutes=back) for back in range(9, -1, -1)]
    leaps = Timetable("0 0 29 2 *", "UTC").latest(since, until, 10)
    assert [f"{moment:%Y}" for moment in leaps] == ["2028", "2032", "2036"]
    assert Timetable("0 0 * * *", "UTC").latest(until, until, 10) == [until]
    assert Timetable("0 0 * * *", "UTC").latest(until, since, 10) == []
