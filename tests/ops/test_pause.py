"""`callboard pause` and `callboard resume`: what a person is told, and what becomes of the work."""

import json
from collections.abc import Iterator

import pytest

from broker import Pipeline, Run, actor
from broker.middleware.pause import Pause
from broker.testing import Stage
from ops.boot import App
from ops.cli import pause
from ops.cli.check import policies_of
from schemas import Event
from tests.ops.conftest import Cli
from tests.support import fold_cast
from tests.support.waiting import eventually


class DoughRisen(Event, type="dough.risen"):
    loaf: int


@actor()
def bake(event: DoughRisen, run: Run) -> None:
    pass


bakery = Pipeline("bakery", bake)


@pytest.fixture
def stage(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A worker that performs `bake`, and commands that know it."""
    monkeypatch.setattr(pause, "loaded", lambda _settings: App((bake,), (bakery,)))
    with Stage(dsn, [bake], pipelines=[bakery]) as made:
        yield made


def test_an_actor_is_paused_listed_explained_and_resumed(stage: Stage, cli: Cli) -> None:
    told = cli("pause", "test_pause.bake", "--by", "anna", "--reason", "new oven")
    assert told.exit_code == 0, told.output
    assert (
        told.stdout == "actor test_pause.bake is paused; `callboard resume test_pause.bake` lets it go on\n"
    )
    eventually(stage.broker.policy(Pause).guards_now)
    id = stage.publish(DoughRisen(loaf=1))
    eventually(lambda: stage.rows("select status, reason from run") == [("waiting", "paused")])
    assert " ago by anna: new oven;" in cli("why", str(id)).stdout
    [listed] = json.loads(cli("pause", "--json").stdout)
    assert (listed["name"], listed["by"], listed["waiting"]) == ("test_pause.bake", "anna", 1)
    assert "new oven" in cli("pause").stdout
    assert cli("resume", "test_pause.bake").stdout == "actor test_pause.bake is resumed: 1 run goes on\n"
    stage.drain()
    assert stage.rows("select status from run") == [("completed",)]
    assert cli("pause").stdout == "nothing is paused\n"


def test_a_pipeline_is_paused_by_its_name(stage: Stage, cli: Cli) -> None:
    assert cli("pause", "bakery").stdout.startswith("pipeline bakery is paused")
    assert cli("pause", "bakery").stdout.startswith("pipeline bakery was paused already")
    assert cli("resume", "bakery").stdout == "pipeline bakery is resumed: nothing waits\n"


def test_a_wrong_name_is_told_with_the_nearest(stage: Stage, cli: Cli) -> None:
    wrong = cli("pause", "bakry")
    assert wrong.exit_code == 1 and "did you mean 'bakery'?" in wrong.stderr
    wrong = cli("resume", "bakery")
    assert wrong.exit_code == 1 and "'bakery' is not paused; paused now: nothing" in wrong.stderr


def test_check_tells_in_words_what_gathers() -> None:
    assert "once quiet for 1 min by key, at the latest after 3 min" in policies_of(fold_cast.touch)
    assert "batches of 3 by key, within 1 min" in policies_of(fold_cast.pack)
