"""Declaring a schedule: periodiq's cron or text, an event or a function; whatever cannot work is refused by name."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from periodiq import cron

from broker import ConfigurationError, Missed, Run, Schedule, Tick, actor
from broker.schedules.checks import check_schedules
from broker.schedules.timetable import Timetable
from schemas import Event

TICK = Tick("nightly", datetime(2027, 3, 1, 3, tzinfo=UTC))


class GongStruck(Event, type="gong.struck"):
    times: int = 1


class GongBroken(Event, type="gong.broken", audience="outside"):
    pass


class Nameless(Event):
    pass


@actor()
def listen(event: GongStruck, run: Run) -> None:
    del event, run


def by_hour(tick: Tick) -> GongStruck:
    return GongStruck(times=tick.slot.hour)


def of_no_type(tick: Tick) -> Nameless:
    return Nameless()


def unannotated(tick: Tick):  # type: ignore[no-untyped-def]
    return GongStruck()


def of_text(tick: Tick) -> str:
    return ""


def lying(tick: Tick) -> GongStruck:
    return GongBroken()  # type: ignore[return-value]


def first(expression: str, since: datetime) -> datetime:
    return Timetable(expression, "UTC").next(since)


def test_an_event_or_a_function_of_the_tick_is_published() -> None:
    assert Schedule("nightly", cron("0 3 * * *"), GongStruck(times=2)).event(TICK) == GongStruck(times=2)
    made = Schedule("nightly", cron("0 3 * * *"), by_hour)
    assert made.event(TICK) == GongStruck(times=3)
    assert made.kind is GongStruck


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (cron("0 3 * * *"), "0 3 * * *"),
        (cron("0 3 * * sun"), "0 3 * * sun"),
        (cron("@weekly"), "@weekly"),
        ("0 0 1 jan *", "0 0 1 jan *"),
        # periodiq's own text of these is `* * * * *`, and one where Sunday is named twice.
        (cron("0 3 * * *").replace(m=[0, 59]), "0,59 3 * * *"),
        (cron("0 3 * * *").replace(dow=[0, 7]), "0 3 * * 0"),
        (cron("0 3 * * *").replace(dom=[1]), "0 3 1 * *"),
    ],
)
def test_what_periodiq_was_given_is_what_is_evaluated(declared: Any, expected: str) -> None:
    assert Schedule("nightly", declared, GongStruck()).expression == expected


@pytest.mark.parametrize("expression", ["@weekly", "0 0 * * sun", "0 0 * * 0", "0 0 * * 0-6", "0 0 * * 7"])
def test_sundays_that_periodiq_never_fires_on_do_come(expression: str) -> None:
    schedule = Schedule("weekly", cron(expression), GongStruck())
    saturday = datetime(2027, 1, 2, 12, tzinfo=UTC)
    assert first(schedule.expression, saturday) == datetime(2027, 1, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("declare", "told"),
    [
        (lambda: Schedule("nightly", cron("99 * * * *"), GongStruck()), "schedule nightly: '99'"),
        (lambda: Schedule("nightly", cron("0 0 30 2 *"), GongStruck()), "schedule nightly: .* never fires"),
        (lambda: Schedule("nightly", cron("0 3 * * * *"), GongStruck()), "schedule nightly: .* 6 field"),
        (lambda: Schedule("nightly", "never", GongStruck()), "schedule nightly: 'never'"),
        (lambda: Schedule("nightly", "@daily", GongStruck(), timezone="Berlin"), "schedule nightly: 'Berlin' is no time zone"),
        (lambda: Schedule("Nightly Report", "@daily", GongStruck()), "schedule 'Nightly Report': name it"),
        (lambda: Schedule("", "@daily", GongStruck()), "schedule ''"),
        (lambda: Schedule("n" * 101, "@daily", GongStruck()), "100 characters"),
        (lambda: Schedule("nightly", "@daily", GongStruck(), catch_up=0), "schedule nightly: catch_up"),
        (lambda: Schedule("nightly", "@daily", GongStruck(), grace=timedelta(0)), "schedule nightly: grace"),
        (lambda: Schedule("nightly", "@daily", GongStruck(), max_age=timedelta(0)), "schedule nightly: .*max_age"),
        (lambda: Schedule("nightly", "@daily", unannotated), "schedule nightly: .*annotate what it returns"),
        (lambda: Schedule("nightly", "@daily", of_text), "schedule nightly: .*annotate what it returns"),  # type: ignore[arg-type]
        (lambda: Schedule("nightly", "@daily", of_no_type), "schedule nightly: Nameless declares no type"),
        (lambda: Schedule("nightly", "@daily", GongStruck), "schedule nightly"),  # type: ignore[arg-type]
        (lambda: Schedule("nightly", "@daily", 5), "schedule nightly: publishes="),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_whatever_cannot_work_is_refused_by_name(declare: Callable[[], Schedule], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        declare()


def test_a_function_that_makes_another_event_than_it_says_is_found_out() -> None:
    with pytest.raises(TypeError, match="made a GongBroken, but is annotated with GongStruck"):
        Schedule("nightly", "@daily", lying).event(TICK)


def test_events_that_nobody_hears_and_twins_are_faults_of_the_wiring() -> None:
    struck = Schedule("nightly", "@daily", GongStruck(), missed=Missed.SKIP)
    outside = Schedule("weekly", "@weekly", GongBroken())
    twin = Schedule("nightly", "@hourly", GongStruck())

    assert check_schedules([struck, outside], [listen]) == []
    assert [fault.problem for fault in check_schedules([struck], [])] == [
        "schedule nightly publishes it and nobody hears it"
    ]
    assert [fault.subject for fault in check_schedules([struck, twin], [listen])] == ["schedule nightly"]
