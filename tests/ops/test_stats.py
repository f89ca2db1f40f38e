"""What `callboard stats` tells is what the runs were."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from broker import Backoff, NonRetriable, RetryAfter, Run, actor
from broker.testing import Stage
from schemas import Event
from tests.ops.conftest import Cli


class StatsAsked(Event, type="stats.asked"):
    how: str


class StatsWaited(Event, type="stats.waited"): ...


@actor(retry=Backoff(timedelta(seconds=1), timedelta(seconds=1), attempts=2))
def answer(event: StatsAsked, run: Run) -> None:
    if event.how == "fail":
        raise NonRetriable("no")
    if event.how == "again" and run.attempt == 1:
        raise RetryAfter(timedelta(seconds=90))
    if event.how == "sleep":
        run.sleep(timedelta(days=2))


@actor()
def idle(event: StatsWaited, run: Run) -> None:
    del event, run


@pytest.fixture
def stage(dsn: str) -> Iterator[Stage]:
    with Stage(dsn, [answer, idle]) as stage:
        yield stage


def told(cli: Cli, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(cli("stats", "--json", *options).stdout)
    return found


def test_each_actor_is_told_by_what_became_of_its_runs(stage: Stage, cli: Cli) -> None:
    for how in ("well", "well", "fail", "again", "sleep"):
        stage.publish(StatsAsked(how=how))
    stage.publish(StatsWaited())
    stage.drain()
    stage.clock.advance(timedelta(seconds=91))
    stage.drain()

    first, second = told(cli)
    counts = {
        name: first[name]
        for name in ("actor", "runs", "completed", "failed", "unfinished", "retried", "success")
    }
    assert counts == {
        "actor": "test_stats.answer", "runs": 5, "completed": 3, "failed": 1, "unfinished": 1, "retried": 1, "success": 0.75,
    }  # fmt: skip
    assert first["took"] < 60 < first["took_95"] < 92, "one of four took a minute and a half"
    assert 0 <= first["waited"] <= first["waited_95"] < 60
    assert (second["actor"], second["success"], second["retried"]) == ("test_stats.idle", 1.0, 0)
    screen = cli("stats").stdout
    assert "75.0%" in screen and "100.0%" in screen

    assert [each["actor"] for each in told(cli, "--actor", "test_stats.idle")] == ["test_stats.idle"]
    stage.clock.advance(timedelta(days=1))
    assert told(cli, "--since", "2999-01-01T00:00") == []
    assert "no runs since 2999" in cli("stats", "--since", "2999-01-01T00:00").stdout
    assert "is no time" in cli("stats", "--since", "soon").output
