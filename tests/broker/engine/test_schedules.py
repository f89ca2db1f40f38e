"""Schedules on a running engine: a slot is one event, whatever the clocks do, whoever decides it, whatever was missed."""

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from periodiq import cron

from broker import ConfigurationError, Missed, Publisher, Run, Schedule, Tick, actor
from broker.database import Database
from broker.middleware.trace import Trace
from broker.retention import Retention
from broker.schedules import control
from broker.schedules.control import TickRow
from broker.schedules.register import register
from broker.schedules.scheduler import OVERDUE, Scheduler
from broker.schedules.ticks import event_id
from broker.telemetry import Telemetry
from broker.testing import Stage, VirtualClock
from broker.transports.postgres import PostgresTransport
from schemas import Event
from tests.broker.engine.conftest import MakeStage
from tests.support.otlp import running_receiver

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


class CastRung(Event, type="cast.rung"):
    schedule: str
    slot: str


@actor()
def ring(event: CastRung, run: Run) -> None:
    del run


def slot_of(tick: Tick) -> CastRung:
    return CastRung(schedule=tick.schedule, slot=tick.slot.isoformat())


broken = threading.Event()


def slot_unless_broken(tick: Tick) -> CastRung:
    if broken.is_set():
        raise ValueError("no bell in the tower")
    return slot_of(tick)


def daily(**options: Any) -> Schedule:
    return Schedule("daily", cron("0 3 * * *"), slot_of, timezone="Europe/Berlin", **options)


def march(*days: int) -> list[str]:
    return [f"2027-03-{day:02}T03:00:00+01:00" for day in days]


def heard(stage: Stage, name: str = "daily") -> list[str]:
    """The slots whose events were performed, in order of the slots."""
    found = stage.rows(
        """select event ->> 'slot' from run
        where actor = 'test_schedules.ring' and status = 'completed' and event ->> 'schedule' = %s""",
        [name],
    )
    return sorted(slot for (slot,) in found)


def ticks(stage: Stage, name: str = "daily") -> list[TickRow]:
    """Oldest first."""
    with stage.database.once("test") as connection:
        return list(control.ticks(connection, name, 1000))[::-1]


def kinds(stage: Stage) -> list[tuple[str, int]]:
    return [(tick.kind, tick.missed) for tick in ticks(stage)]


@pytest.fixture
def ringing(make_stage: MakeStage) -> Callable[..., Stage]:
    """A stage with schedules, at noon of the 1st of March 2027; a second one at the time that it is then."""
    made: list[Stage] = []

    def make(*schedules: Schedule, now: datetime = NOON) -> Stage:
        # Ids of runs are made by the host's clock: months behind the stage's, retention would take them at its first look.
        kept = {"dedup_window": timedelta(days=3650)}
        made.append(make_stage([ring], schedules=schedules, now=None if made else now, settings=kept))
        return made[-1]

    return make


@pytest.fixture(autouse=True)
def whole() -> Iterator[None]:
    yield
    broken.clear()


def test_each_slot_is_one_event_which_tells_its_slot(ringing: Callable[..., Stage]) -> None:
    stage = ringing(daily())
    for _ in range(3):
        stage.clock.advance(DAY)
        stage.drain()

    assert heard(stage) == march(2, 3, 4)
    assert [tick.event_id for tick in ticks(stage)] == [event_id("daily", tick.slot) for tick in ticks(stage)]


def test_an_event_of_a_schedule_begins_a_story_at_the_time_of_the_database(
    ringing: Callable[..., Stage],
) -> None:
    stage = ringing(daily())
    stage.clock.advance(DAY)
    stage.drain()

    [tick] = ticks(stage)
    found = (
        "select event_id, correlation_id, causation_id, subject, traceparent is not null, event_time from run"
    )
    [(id, story, cause, subject, traced, time)] = stage.rows(found)
    assert (id, story, cause, subject, traced) == (tick.event_id, tick.event_id, None, "daily", True)
    assert NOON + DAY <= time < NOON + DAY + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("begin", "expected"),
    [
        ((2027, 3, 26), ["2027-03-27T02:30:00+01:00", "2027-03-28T03:00:00+02:00", "2027-03-29T02:30:00+02:00"]),
        ((2027, 10, 29), ["2027-10-30T02:30:00+02:00", "2027-10-31T02:30:00+02:00", "2027-11-01T02:30:00+01:00"]),
    ],
)  # fmt: skip
def test_a_time_that_is_skipped_fires_after_the_gap_and_one_that_comes_twice_fires_once(
    begin: tuple[int, int, int], expected: Sequence[str], ringing: Callable[..., Stage]
) -> None:
    nightly = Schedule("daily", cron("30 2 * * *"), slot_of, timezone="Europe/Berlin")
    stage = ringing(nightly, now=datetime(*begin, 12, tzinfo=BERLIN))
    for _ in range(9):
        stage.clock.advance(8 * HOUR)
        stage.drain()

    assert heard(stage) == expected


@pytest.mark.parametrize(
    ("options", "expected", "told"),
    [
        ({"missed": Missed.SKIP}, [], [("skipped", 9)]),
        ({"missed": Missed.ONE}, march(11), [("late", 9)]),
        ({"missed": Missed.ALL}, march(*range(2, 12)), [("late", 0)] * 10),
        ({"missed": Missed.ALL, "catch_up": 2}, march(10, 11), [("late", 8), ("late", 0)]),
        ({"missed": Missed.ALL, "max_age": 3 * DAY}, march(9, 10, 11), [("late", 7), ("late", 0), ("late", 0)]),
        ({"missed": Missed.ONE, "max_age": HOUR}, [], [("skipped", 9)]),
        ({"missed": Missed.SKIP, "grace": DAY}, march(11), [("due", 9)]),
    ],
)  # fmt: skip
def test_what_was_missed_in_an_outage_follows_the_policy(
    options: dict[str, Any], expected: Sequence[str], told: object, ringing: Callable[..., Stage]
) -> None:
    before = ringing(daily(**options))
    before.engine.stop()
    before.clock.advance(10 * DAY)

    after = ringing(daily(**options))
    after.drain()
    assert heard(after) == expected
    assert kinds(after) == told

    after.clock.advance(DAY - 9 * HOUR)
    after.drain()
    assert ticks(after)[-1].slot == datetime(2027, 3, 12, 3, tzinfo=BERLIN), "the next one comes at its time"


def test_a_paused_schedule_is_silent_and_makes_up_for_nothing(ringing: Callable[..., Stage]) -> None:
    stage = ringing(daily(missed=Missed.ALL))
    with stage.database.once("test") as connection:
        assert not control.pause(connection, "daily").runs
        stage.clock.advance(3 * DAY)
        stage.drain()
        assert ticks(stage) == []
        assert control.resume(connection, "daily").next_at == datetime(2027, 3, 5, 3, tzinfo=BERLIN)
    stage.clock.advance(DAY)
    stage.drain()

    assert heard(stage) == march(5)


def test_a_trigger_is_a_tick_of_its_own_also_of_a_paused_schedule(ringing: Callable[..., Stage]) -> None:
    schedule = daily()
    stage = ringing(schedule)
    with stage.database.once("test") as connection:
        control.pause(connection, "daily")
        first = control.trigger(connection, stage.publisher, schedule)
        second = control.trigger(connection, stage.publisher, schedule)
        control.resume(connection, "daily")
    stage.drain()
    stage.clock.advance(DAY)
    stage.drain()

    assert len({first, second}) == 2
    assert [tick.kind for tick in ticks(stage)] == ["triggered", "triggered", "late"]
    assert len(heard(stage)) == 3


def test_an_edit_overrides_the_code_over_boots_until_it_is_reset(ringing: Callable[..., Stage]) -> None:
    stage = ringing(daily())
    with stage.database.once("test") as connection:
        control.edit(connection, "daily", expression="0 6 * * *", timezone="UTC")
        register(stage.database, [daily()], [""])
        edited = control.get_schedule(connection, "daily")
        assert edited.edited and edited.next_at == datetime(2027, 3, 2, 6, tzinfo=UTC)
        assert (edited.expression, edited.timezone) == ("0 3 * * *", "Europe/Berlin")
        stage.clock.advance(DAY)
        stage.drain()
        assert heard(stage) == ["2027-03-02T06:00:00+00:00"]

        back = control.reset(connection, "daily")
        assert not back.edited and back.next_at == datetime(2027, 3, 3, 3, tzinfo=BERLIN)


def test_an_edit_that_never_fires_is_refused_and_changes_nothing(ringing: Callable[..., Stage]) -> None:
    stage = ringing(daily())
    with stage.database.once("test") as connection:
        with pytest.raises(ConfigurationError, match="never fires"):
            control.edit(connection, "daily", expression="0 0 30 2 *")
        assert not control.get_schedule(connection, "daily").edited


def test_a_changed_declaration_takes_effect_at_boot_and_one_that_is_gone_is_retired(
    ringing: Callable[..., Stage],
) -> None:
    stage = ringing(daily())
    with stage.database.once("test") as connection:
        register(stage.database, [Schedule("daily", "0 5 * * *", slot_of)], [""])
        assert control.get_schedule(connection, "daily").next_at == datetime(2027, 3, 2, 5, tzinfo=UTC)

        register(stage.database, [], ["another app"])
        assert control.get_schedule(connection, "daily").runs, "only its own app may retire it"
        register(stage.database, [], [""])
        assert control.get_schedule(connection, "daily").retired_at is not None
        with pytest.raises(ConfigurationError, match="retired"):
            control.resume(connection, "daily")
        stage.clock.advance(3 * DAY)
        stage.drain()
        assert ticks(stage) == []

        register(stage.database, [daily(missed=Missed.ALL)], [""])
        assert control.get_schedule(connection, "daily").next_at == datetime(2027, 3, 5, 3, tzinfo=BERLIN)


def test_an_event_that_cannot_be_made_is_told_stays_due_and_holds_up_no_other(
    ringing: Callable[..., Stage],
) -> None:
    failing = Schedule("tower", cron("0 2 * * *"), slot_unless_broken, missed=Missed.ALL)
    broken.set()
    stage = ringing(failing, daily())
    stage.clock.advance(2 * DAY)
    stage.drain()
    with stage.database.once("test") as connection:
        told = control.get_schedule(connection, "tower")
        assert told.error == "ValueError: no bell in the tower"
        assert (told.next_at, ticks(stage, "tower")) == (datetime(2027, 3, 2, 2, tzinfo=UTC), [])
        assert heard(stage) == march(3)

    broken.clear()
    repaired = ringing(failing, daily())
    repaired.drain()
    assert heard(repaired, "tower") == ["2027-03-02T02:00:00+00:00", "2027-03-03T02:00:00+00:00"]


def scheduler(database: Database, *schedules: Schedule) -> Scheduler:
    return Scheduler(schedules, Publisher(PostgresTransport(database), "test", database))


def test_schedulers_at_the_same_moment_decide_each_slot_once(database: Database) -> None:
    clock = VirtualClock(database)
    clock.move_to(NOON)
    minutely = Schedule("minutely", "* * * * *", slot_of, missed=Missed.ALL)
    register(database, [minutely], [""])
    together = threading.Barrier(4)

    def sweep() -> None:
        own = scheduler(database, minutely)
        with database.once("test") as connection:
            for _ in range(30):
                together.wait(30)
                own.sweep(connection)
                together.wait(30)

    threads = [threading.Thread(target=sweep) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        clock.advance(timedelta(minutes=2))
        together.wait(30)
        together.wait(30)
    for thread in threads:
        thread.join()

    with database.once("test") as connection:
        found = [tick.slot for tick in control.ticks(connection, "minutely", 1000)][::-1]
        [(events,)] = connection.execute("select count(*) from outbox").fetchall()
    assert found == [NOON + timedelta(minutes=minute) for minute in range(1, 61)]
    assert events == 60


def test_who_does_not_lead_stands_in_for_what_is_overdue(database: Database) -> None:
    """A leader of the last version does not know the schedules of the next."""
    clock = VirtualClock(database)
    clock.move_to(NOON)
    hourly = Schedule("hourly", "@hourly", slot_of)
    register(database, [hourly], [""])
    clock.move_to(NOON + HOUR)
    with database.once("test") as connection:
        assert scheduler(database).sweep(connection) == 0
        assert scheduler(database, hourly).stand_in(connection) == 0, "the leader may still come"
        clock.advance(OVERDUE)
        assert scheduler(database, hourly).stand_in(connection) == 1


def test_a_tick_is_the_root_of_a_trace_that_its_event_carries(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = VirtualClock(database)
    clock.move_to(NOON)
    hourly = Schedule("hourly", "@hourly", slot_of)
    register(database, [hourly], [""])
    clock.advance(HOUR)
    with running_receiver() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        telemetry, trace = Telemetry(), Trace()
        trace.use(telemetry.tracer, system="rabbitmq", destination="callboard.events")
        publisher = Publisher(PostgresTransport(database), "test", database, trace)
        with database.once("test") as connection:
            assert Scheduler([hourly], publisher).sweep(connection) == 1
            [(traceparent,)] = connection.execute("select headers ->> 'traceparent' from outbox").fetchall()
        telemetry.shutdown()
        [span] = collector.spans()

    assert (span.name, span.parent_id) == ("publish cast.rung", "")
    assert traceparent.split("-")[1:3] == [span.trace_id, span.span_id]


def test_old_ticks_are_forgotten_and_no_slot_comes_again(database: Database) -> None:
    clock = VirtualClock(database)
    clock.move_to(NOON)
    hourly = Schedule("hourly", "@hourly", slot_of)
    register(database, [hourly], [""])
    with database.once("test") as connection:
        for _ in range(2):
            clock.advance(HOUR)
            assert scheduler(database, hourly).sweep(connection) == 1
        control.pause(connection, "hourly")
        clock.advance(8 * DAY)
        Retention(dedup_window=7 * DAY, steps=DAY, look_back=timedelta(days=1)).sweep(connection)
        assert control.ticks(connection, "hourly", 10) == []
        control.resume(connection, "hourly")
        assert scheduler(database, hourly).sweep(connection) == 0
