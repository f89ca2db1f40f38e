"""`callboard erase`, and dead letters whose marked fields only those see who say so."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated
from uuid import UUID

import pytest

from broker import Backoff, NonRetriable, Run, actor
from broker.testing import Stage
from schemas import PERSONAL, SUBJECT, Event
from tests.ops.conftest import Cli

CANARY = "canary@example.com"


class SeatBooked(Event, type="seat.booked"):
    guest_id: Annotated[str, SUBJECT]
    email: Annotated[str, PERSONAL]
    row: int


@actor(retry=Backoff(timedelta(0), timedelta(0), attempts=1))
def seat(event: SeatBooked, run: Run) -> None:
    if event.row == 0:
        raise NonRetriable(f"no row for {event.email}")
    if event.row == 1:
        run.sleep(timedelta(days=1))


@pytest.fixture
def stage(dsn: str) -> Iterator[Stage]:
    with Stage(dsn, [seat]) as made:
        yield made


def test_marked_fields_of_a_dead_letter_are_shown_to_who_says_so(stage: Stage, cli: Cli) -> None:
    stage.publish(SeatBooked(guest_id="g-7", email=CANARY, row=0))
    stage.drain()
    [(id,)] = stage.rows("select id from dead_letter")

    for command in (["show", str(id)], ["show", str(id), "--json"], ["list", "--json"], ["list"]):
        told = cli("dead", *command)
        assert told.exit_code == 0, told.output
        assert CANARY not in told.output
    assert '"email": "***"' in cli("dead", "show", str(id)).stdout
    assert stage.rows("select count(*) from audit") == [(0,)]

    assert CANARY in cli("dead", "show", str(id), "--reveal", "--by", "ada").stdout
    assert stage.rows("select who, what, target from audit") == [("ada", "reveal", str(id))]


def test_marked_fields_and_the_result_of_a_run_are_shown_to_who_says_so(stage: Stage, cli: Cli) -> None:
    stage.publish(SeatBooked(guest_id="g-7", email=CANARY, row=2))
    stage.drain()
    [(id,)] = stage.rows("select id from run")

    told = json.loads(cli("runs", "show", str(id), "--json").stdout)["runs"][0]["run"]
    assert told["event"] == {"guest_id": "g-7", "email": "***", "row": 2}
    assert CANARY not in cli("runs", "show", str(id)).stdout
    assert stage.rows("select count(*) from audit") == [(0,)]

    told = json.loads(cli("runs", "show", str(id), "--json", "--reveal", "--by", "ada").stdout)
    assert told["runs"][0]["run"]["event"]["email"] == CANARY
    assert stage.rows("select who, what, target from audit") == [("ada", "reveal", str(id))]


def test_nothing_of_a_type_that_nobody_knows_is_shown(stage: Stage, cli: Cli) -> None:
    stage.publish(SeatBooked(guest_id="g-7", email=CANARY, row=0))
    stage.drain()
    with stage.database.once("test") as connection:
        connection.execute("update run set event_type = 'seat.sold'")
        connection.execute("update dead_letter set event_type = 'seat.sold'")
    [(run, letter)] = stage.rows("select run_id, id from dead_letter")

    shown = cli("runs", "show", str(run), "--json").stdout + cli("dead", "show", str(letter)).stdout
    assert "g-7" not in shown and CANARY not in shown
    assert '"row": "***"' in shown


def test_a_person_is_planned_refused_and_erased(stage: Stage, cli: Cli) -> None:
    for row in (0, 1, 2):
        stage.publish(SeatBooked(guest_id="g-7", email=CANARY, row=row))
    stage.publish(SeatBooked(guest_id="g-8", email="other@example.com", row=2))
    stage.drain()

    planned = cli("erase", "g-7", "--plan").stdout
    assert "2 to erase" in planned and "1 runs, 0 messages" in planned
    assert cli("erase", "g-7").exit_code == 1, "nobody was asked"
    refused = cli("erase", "g-7", "--yes")
    assert refused.exit_code == 1
    assert "1 runs and 0 messages about this person are under way" in refused.stderr
    assert CANARY in str(stage.rows("select event::text from run"))

    done = cli("erase", "g-7", "--yes", "--cancel", "--by", "ada")
    assert done.exit_code == 0, done.output
    assert "erased 3 runs" in done.stdout
    assert "g-7" not in done.stdout
    left = [json.dumps(event) for (event,) in stage.rows("select event from run order by created_at")]
    assert CANARY not in str(left) and "other@example.com" in str(left)
    [(run,)] = stage.rows("select id from run where erased_at is not null and status = 'failed'")
    assert isinstance(run, UUID)
    again = cli("runs", "rerun", str(run))
    assert again.exit_code == 1
    assert "was erased" in again.stderr
    assert "erased 0 runs" in cli("erase", "g-7", "--yes").stdout
    assert cli("why", str(run)).exit_code == 0
