"""Years of minutes are looked at as far as is sensible, and what was let go is told as many."""

from datetime import UTC, datetime, timedelta

import pytest

from broker import Missed
from broker.schedules.missed import Rules, due
from broker.schedules.schedule import MOST_CAUGHT_UP
from broker.schedules.timetable import Timetable

NOW = datetime(2027, 3, 1, 12, 0, 30, tzinfo=UTC)
MINUTELY = Timetable("* * * * *", "UTC")


@pytest.mark.parametrize(("missed", "events"), [(Missed.SKIP, 1), (Missed.ONE, 1), (Missed.ALL, 101)])
def test_after_years_the_latest_are_published_and_the_rest_is_many(missed: Missed, events: int) -> None:
    rules = Rules(missed, timedelta(minutes=1), None, 100)
    owed = due(MINUTELY, rules, NOW - timedelta(days=1000), NOW)

    assert len(owed) == events
    assert (owed[0].before, owed[-1].kind) == (MOST_CAUGHT_UP, "due")
    assert sum(each.before for each in owed[1:]) == 0


def test_what_is_on_time_needs_no_policy() -> None:
    for missed in Missed:
        [only] = due(MINUTELY, Rules(missed, timedelta(minutes=1), None, 100), NOW.replace(second=0), NOW)
        assert (only.kind, only.before) == ("due", 0)


def test_before_its_time_nothing_is_owed() -> None:
    assert (
        due(MINUTELY, Rules(Missed.ALL, timedelta(minutes=1), None, 100), NOW + timedelta(hours=1), NOW) == ()
    )
