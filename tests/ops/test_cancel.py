"""`callboard runs cancel`: which runs it means, what it says of each, and how a cancelled run looks afterwards."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest

from broker import CancelOn, Run, actor
from broker.database import Database
from broker.history import get_run, list_runs
from broker.testing import Stage
from ops.cli.check import policies_of
from schemas import Event
from tests.ops.conftest import Cli
from tests.support.waiting import eventually


class CheeseMade(Event, type="cheese.made"):
    wheel: int
    shelf: str = "low"


class CheeseEaten(Event, type="cheese.eaten"):
    wheel: int


@actor(cancel_on=CancelOn(CheeseEaten, match="wheel"))
def ripen(event: CheeseMade, run: Run) -> None:
    if event.wheel:
        run.sleep(timedelta(days=90))


@pytest.fixture
def stage(dsn: str) -> Iterator[Stage]:
    with Stage(dsn, [ripen]) as made:
        yield made


def ripening(stage: Stage, *wheels: int, shelf: str = "low") -> list[str]:
    """Ids of their runs, which are asleep."""
    stage.publisher.publish_many([CheeseMade(wheel=wheel, shelf=shelf) for wheel in wheels])
    found = "select id::text from run where event->>'wheel' = any(%s) and (event->>'wheel' = '0' or status = 'waiting')"
    asked = ([str(wheel) for wheel in wheels],)
    eventually(lambda: len(stage.rows(found, asked)) == len(wheels))
    return [id for (id,) in stage.rows(f"{found} order by event->>'wheel'", asked)]


def test_of_each_id_the_outcome_is_told(stage: Stage, cli: Cli) -> None:
    fresh, ripe = ripening(stage, 0, 1)
    stage.drain()
    nobody = str(uuid4())
    told = cli("runs", "cancel", fresh, ripe, nobody, "--by", "anna", "--reason", "mice")
    assert told.exit_code == 0, told.output
    assert told.stdout.splitlines() == [
        f"{fresh} already completed",
        f"{ripe} cancelled, was waiting",
        f"{nobody} unknown: no run has this id",
        "cancelled 1, 2 could not be",
    ]
    again = cli("runs", "cancel", ripe)
    assert (again.exit_code, again.stdout) == (1, f"{ripe} already cancelled\n")
    assert stage.rows("select who, what, target, details->>'reason' from audit") == [
        ("anna", "cancel", ripe, "mice")
    ]


def test_a_cancelled_run_shows_by_whom_and_why_and_how_to_run_it_again(stage: Stage, cli: Cli) -> None:
    [ripe] = ripening(stage, 1)
    cli("runs", "cancel", ripe, "--by", "anna", "--reason", "mice")
    shown = cli("runs", "show", ripe).stdout
    assert "ripen cancelled" in shown and "cancelled by anna: mice" in shown
    why = cli("why", ripe).stdout
    assert "it was cancelled by anna: mice" in why and f"callboard runs rerun {ripe}" in why
    assert "cancelled by anna: mice" in cli("runs", "--status", "cancelled").stdout
    assert cli("runs", "rerun", ripe).exit_code == 0
    eventually(lambda: stage.rows("select status, rerun from run") == [("waiting", 1)])


def test_many_are_chosen_by_what_they_are_and_what_their_event_says(stage: Stage, cli: Cli) -> None:
    ripening(stage, 1, 2)
    ripening(stage, 3, 4, shelf="high")
    high = ("runs", "cancel", "--key", "shelf=high")
    assert cli(*high, "--dry-run").stdout == "would cancel 2 runs\n"
    refused = cli(*high, stdin="")
    assert refused.exit_code == 1 and "add --yes" in refused.stderr
    assert cli(*high, "--key", "wheel=3", "--yes").stdout == "cancelled 1\n"
    assert cli(*high, "--yes").stdout == "cancelled 1\n"
    assert cli(*high, "--yes").stdout == "no runs like that are under way\n"
    chosen = ("--actor", "test_cancel.ripen", "--type", "cheese.made", "--status", "waiting", "--yes")
    assert cli("runs", "cancel", *chosen).stdout == "cancelled 2\n"
    with stage.database.once("test") as connection:
        assert {run.status for run in list_runs(connection)} == {"cancelled"}


def test_what_cannot_be_meant_is_refused_with_what_can(cli: Cli, database: Database) -> None:
    for arguments, problem in (
        ((), "say which"),
        (("not-an-id",), "is no id of a run"),
        (("--status", "completed"), "what can be cancelled is queued, running, waiting, retrying"),
        (("--key", "shelf"), "write PATH=VALUE"),
    ):
        told = cli("runs", "cancel", *arguments)
        assert told.exit_code == 1 and problem in told.stderr, told.output


def test_an_event_that_cancels_is_told_with_the_policies(stage: Stage) -> None:
    assert "cancelled by cheese.eaten" in policies_of(ripen)
    [ripe] = ripening(stage, 1)
    stage.publish(CheeseEaten(wheel=1))
    eventually(lambda: stage.rows("select 1 from run where status = 'cancelled'"))
    with stage.database.once("test") as connection:
        [run] = list_runs(connection)
        assert get_run(connection, run.id).reason == "cancelled by cheese.eaten"
    assert str(run.id) == ripe
