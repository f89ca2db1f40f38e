"""The doctor and the work: what is late, orphaned, given up or unheard is found; so are wrong settings and wiring."""

from datetime import timedelta

import pytest
from psycopg.errors import ReadOnlySqlTransaction

from broker import load_settings
from ops.doctor.patient import admitted
from schemas import uuid7
from tests.ops.doctor.conftest import House

HOUR = timedelta(hours=1)


def test_a_run_that_nobody_wakes_is_found(house: House) -> None:
    house.run("retrying", late=HOUR)
    state, words = house.examine().of("due-runs")
    assert state == "fail" and words.startswith("1 run(s) due, the oldest for 1 h")


def test_a_run_that_is_a_little_late_is_a_warning(house: House) -> None:
    house.run("retrying", late=timedelta(seconds=20))
    assert house.examine().of("due-runs")[0] == "warn"


def test_an_outbox_that_nobody_sends_is_found(house: House) -> None:
    house.sql(
        """insert into outbox (id, routing_key, body, headers, content_type, created_at, send_at)
        values (gen_random_uuid(), 'line.spoken', '', '{}', 'application/json', clock(), clock() - interval '5 min')"""
    )
    assert house.examine().of("outbox")[0] == "fail"


SCHEDULE = """
insert into schedule (name, app, event_type, expression, timezone, missed, grace, catch_up, declared_at, next_at, error)
values ('nightly', '', 'line.spoken', '@daily', 'UTC', 'one', '1 min', 100, clock(), clock() - %(late)s::interval, %(error)s)"""


def test_a_schedule_that_nobody_ticks_is_found(house: House) -> None:
    house.sql(SCHEDULE, late=HOUR, error=None)
    state, words = house.examine().of("schedules")
    assert state == "fail" and words.startswith("schedule nightly is late by 1 h")


def test_a_schedule_whose_event_cannot_be_made_is_found(house: House) -> None:
    house.sql(SCHEDULE, late=HOUR, error="ValueError: no bell")
    state, words = house.examine().of("schedules")
    assert state == "fail" and words.startswith("schedule nightly cannot make its event: ValueError: no bell")


def test_a_running_run_whose_worker_is_gone_is_found(house: House) -> None:
    run = house.run("running", worker=uuid7())
    state, words = house.examine().of("orphans")
    assert state == "fail" and str(run) in words


def test_a_worker_that_was_not_heard_for_an_hour_is_found(house: House) -> None:
    house.worker("host:1", silent=HOUR)
    visit = house.examine()
    said = [each["found"] for each in visit.told["findings"] if each["id"] == "workers"]
    assert said == ["worker host:1 was last heard 1 h ago and holds 0 run(s)", "no worker is alive"]


def test_workers_of_whom_none_leads_are_found(house: House) -> None:
    house.worker("host:1")
    assert house.examine().of("leader")[0] == "fail"


def letter(house: House, reason: str, event_type: str) -> None:
    house.sql(
        """insert into dead_letter (id, created_at, reason, event_type, error)
        values (gen_random_uuid(), clock(), %(reason)s, %(type)s, 'test')""",
        reason=reason,
        type=event_type,
    )


def test_dead_letters_are_counted(house: House) -> None:
    for _ in range(3):
        letter(house, "attempts used up", "line.spoken")
    state, words = house.examine().of("dead-letters")
    assert state == "warn" and words.startswith("3 dead letter(s)")


def test_an_unheard_event_is_worse_when_an_actor_hears_its_type(house: House) -> None:
    letter(house, "unheard", "nobody.cares")
    assert house.examine().states("unheard") == {"warn"}

    letter(house, "unheard", "line.spoken")
    assert house.examine().states("unheard") == {"warn", "fail"}


def test_a_variable_that_nothing_reads_is_a_warning_with_the_nearest_name(house: House) -> None:
    house.set("THREDS", "4")
    state, words = house.examine().of("settings")
    assert state == "warn" and "CALLBOARD_THREDS" in words and "'CALLBOARD_THREADS'" in words


def test_a_setting_that_cannot_be_read_is_the_finding(house: House) -> None:
    house.set("THREADS", "many")
    visit = house.examine()
    state, words = visit.of("settings")
    assert (visit.status, state) == (1, "fail") and "CALLBOARD_THREADS" in words
    assert "queues" in visit.told["skipped"]


def test_a_demo_in_a_house_with_actors_of_its_own_is_a_warning(house: House) -> None:
    house.set("DEMO", "1")
    assert house.examine().of("demo")[0] == "warn"


def test_an_application_that_cannot_be_imported_is_the_finding_and_servers_are_still_looked_at(
    house: House,
) -> None:
    house.set("APPS", "no_such_application")
    visit = house.examine()
    assert (visit.status, visit.of("wiring")[0]) == (1, "fail")
    assert visit.of("postgresql")[0] == "ok"


def test_it_is_a_table_for_people(house: House) -> None:
    house.set("THREDS", "4")
    done = house.cli("doctor")
    assert done.exit_code == 0, done.output
    assert "→ `callboard settings` lists what is read" in done.output
    assert done.output.rstrip().endswith("0 fail")


@pytest.mark.parametrize("statement", ["delete from run", "drop function clock()"])
def test_its_connection_cannot_write(house: House, statement: str) -> None:
    with admitted(load_settings()) as patient, pytest.raises(ReadOnlySqlTransaction):
        patient.db.execute(statement.encode())
