"""The command line on a real database: what it prints for people, what for scripts, and how its errors read."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from broker import Backoff, NonRetriable, Run, actor
from broker.database import Database
from broker.history import list_runs
from broker.testing import Stage
from schemas import Event, uuid7
from tests.ops.conftest import Cli
from tests.support.runner import HOUSE, environment

ONCE = Backoff(timedelta(0), timedelta(0), attempts=1)


class GrainMilled(Event, type="grain.milled"):
    sack: int
    spoilt: bool = False


class BreadBaked(Event, type="bread.baked"):
    sack: int


class MiceSeen(Event, type="mice.seen"):
    """Nobody hears it."""

    number: int


mended: set[int] = set()


@actor(retry=ONCE)
def bake(event: GrainMilled, run: Run) -> BreadBaked:
    run.step("knead", str, event.sack)
    if event.spoilt and event.sack not in mended:
        raise NonRetriable("\x1b[31mthe grain is spoilt")
    return BreadBaked(sack=event.sack)


@actor()
def eat(event: BreadBaked, run: Run) -> None:
    pass


@pytest.fixture
def stage(dsn: str) -> Iterator[Stage]:
    with Stage(dsn, [bake, eat]) as made:
        yield made


def listed(cli: Cli, *arguments: str) -> Any:
    result = cli(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def told(cli: Cli, *arguments: str, stdin: str | None = None) -> str:
    """The one line that an error is."""
    result = cli(*arguments, stdin=stdin)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: ")
    return result.stderr.strip()


def test_runs_are_listed_newest_first_for_people_and_for_scripts(cli: Cli, stage: Stage) -> None:
    stage.publish(GrainMilled(sack=1))
    stage.drain()

    shown = cli("runs").stdout
    found = listed(cli, "runs", "--status", "completed")

    assert shown.index("test_cli.eat") < shown.index("test_cli.bake")
    assert "\x1b[" not in shown
    assert [run["actor"] for run in found] == ["test_cli.eat", "test_cli.bake"]
    assert listed(cli, "runs", "--actor", "nobody") == []
    assert "did you mean 'completed'?" in told(cli, "runs", "--status", "complete")


def test_a_run_is_shown_with_its_steps_and_its_story(cli: Cli, stage: Stage) -> None:
    event = stage.publish(GrainMilled(sack=1))
    stage.drain()

    shown = cli("runs", "show", event).stdout

    for part in (
        "test_cli.bake completed",
        "grain.milled was published",
        "step done",
        "knead",
        "caused",
        "bread.baked",
    ):
        assert part in shown
    assert f"story {event}, 2 runs" in shown
    assert "  test_cli.eat" in shown
    run = listed(cli, "runs", "show", event)["runs"][0]["run"]
    assert cli("runs", "show", run["id"]).stdout == shown
    assert f"callboard why {event[::-1]}" in told(cli, "runs", "show", event[::-1])


def test_dead_letters_are_listed_shown_and_replayed_once(cli: Cli, stage: Stage) -> None:
    stage.publish(GrainMilled(sack=7, spoilt=True))
    stage.drain()
    [letter] = listed(cli, "dead", "list")

    shown = cli("dead", "list").stdout
    assert letter["id"] in shown
    assert "not retriable" in shown
    assert "\x1b" not in shown
    whole = cli("dead", "show", letter["id"]).stdout
    assert '"sack": 7' in whole
    assert f"callboard dead replay {letter['id']}" in whole

    mended.add(7)
    assert cli("dead", "replay", letter["id"]).stdout == "replayed 1\n"
    stage.drain()
    assert [run["status"] for run in listed(cli, "runs")] == ["completed", "completed"]
    again = cli("dead", "replay", letter["id"], "--by", "ben").stdout
    assert again.startswith(f"replayed 0\n{letter['id']} was replayed before, by ") and "ben" not in again
    assert listed(cli, "dead", "list") == []
    assert [each["settled_as"] for each in listed(cli, "dead", "list", "--settled")] == ["replayed"]


def test_many_letters_are_settled_only_when_somebody_says_yes(cli: Cli, stage: Stage) -> None:
    for sack in range(100, 160):
        stage.publish(GrainMilled(sack=sack, spoilt=True))
    stage.drain()

    assert "60 dead letters" in told(cli, "dead", "discard", "--all")
    assert "say which" in told(cli, "dead", "discard")
    assert cli("dead", "discard", "--reason", "no such", "--yes").stdout == "no open dead letters like that\n"
    assert cli("dead", "discard", "--actor", "test_cli.bake", "--yes").stdout == "discarded 60\n"
    assert cli("dead", "list").stdout == "no open dead letters\n"


def test_an_unheard_event_is_kept_aside_and_found(cli: Cli, stage: Stage) -> None:
    event = stage.publish(MiceSeen(number=3))
    stage.drain()

    assert listed(cli, "dead", "list") == []
    assert "1 unheard" in cli("dead", "list").stdout
    assert [letter["reason"] for letter in listed(cli, "dead", "list", "--all")] == ["unheard"]
    assert "no actor hears mice.seen" in cli("why", event).stdout


def test_why_explains_what_happened_to_an_event(cli: Cli, stage: Stage) -> None:
    fine, spoilt = stage.publish(GrainMilled(sack=1)), stage.publish(GrainMilled(sack=8, spoilt=True))
    late = stage.publish(GrainMilled(sack=2), delay=timedelta(hours=1))
    stage.drain()

    assert "test_cli.bake: completed" in cli("why", fine).stdout
    assert "dead replay" in cli("why", spoilt).stdout
    assert "outbox: delayed" in cli("why", late).stdout
    unknown = cli("why", str(uuid4()))
    assert unknown.exit_code == 0
    assert "never published here" in unknown.stdout
    assert listed(cli, "why", spoilt)["findings"][0]["state"] == "failed"


def test_publish_hands_a_validated_event_over(cli: Cli, database: Database) -> None:
    with Stage(database.url, []) as stage:
        id = str(uuid7())
        published = cli(
            "publish", "line.spoken", "-", "--id", id, "--delay", "1h30m", stdin='{"folder": "x"}'
        )

        assert published.stdout == f"{id}\n"
        assert "outbox: delayed" in cli("why", id).stdout
        [(delay,)] = stage.rows("select send_at - created_at from outbox")
        assert abs(delay - timedelta(minutes=90)) < timedelta(seconds=1)


def test_publish_names_what_is_wrong(cli: Cli, database: Database, tmp_path: Path) -> None:
    payload = tmp_path / "event.json"
    payload.write_text('{"folder": 3}')

    assert "did you mean 'line.spoken'?" in told(cli, "publish", "line.spoke", "{}")
    assert "folder: Input should be a valid string" in told(cli, "publish", "line.spoken", f"@{payload}")
    assert "is not JSON" in told(cli, "publish", "line.spoken", "{")
    assert "cannot be read" in told(cli, "publish", "line.spoken", f"@{payload}.gone")
    assert "no length of time" in told(cli, "publish", "line.spoken", '{"folder": "x"}', "--delay", "soon")


def test_check_needs_no_server_and_lists_what_is_loaded(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CALLBOARD_DATABASE_URL")

    checked = cli("check")

    assert checked.exit_code == 0
    assert "3 actors, 3 events, 0 pipelines, 1 schedules, 1 webhooks: no faults" in checked.stdout
    monkeypatch.setenv("CALLBOARD_APPS", "")
    assert "CALLBOARD_APPS" in told(cli, "check")
    assert "CALLBOARD_DATABASE_URL is not set" in told(cli, "runs")


def test_pipelines_are_listed_shown_and_drawn(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_DEMO", "1")

    assert "pages.scan → pages.analyze → notifications.notify" in cli("pipelines").stdout
    assert "page.analyze.requested" in cli("pipelines", "show", "page-scan").stdout
    assert cli("pipelines", "show", "page-scan", "--mermaid").stdout.startswith("flowchart LR\n")
    assert cli("pipelines", "--mermaid").stdout.count("flowchart LR\n") > 1
    assert "did you mean 'page-scan'?" in told(cli, "pipelines", "show", "page-scam")


def test_migrate_plans_applies_and_may_be_repeated(cli: Cli) -> None:
    assert "run `callboard migrate`" in told(cli, "runs")
    assert "0001_pre_engine.sql" in cli("migrate", "--plan").stdout
    assert "applied" in cli("migrate").stdout
    assert cli("migrate").stdout == "nothing to do: the database is up to date\n"
    assert cli("runs").stdout.startswith("no runs yet")


def test_an_unreachable_database_is_told_without_its_password(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", "postgresql://me:secret@127.0.0.1:1/shop")

    for command in (
        ["runs"],
        ["dead", "list"],
        ["why", "x"],
        ["migrate"],
        ["publish", "line.spoken", '{"folder": "x"}'],
    ):
        message = cli(*command).stderr
        assert "secret" not in message
        assert "Traceback" not in message
    assert "PostgreSQL at 127.0.0.1:1/shop cannot be used: Connection refused" in told(cli, "runs")


def test_a_real_process_prints_no_colour_into_a_pipe_and_ends_with_its_reader(database: Database) -> None:
    settings = environment(database.url)
    done = subprocess.run(
        [sys.executable, "-m", "ops", "check"],
        cwd=HOUSE,
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as nobody_reads:
        unread = subprocess.run(
            [sys.executable, "-m", "ops", "runs", "--json"],
            cwd=HOUSE, env=settings, stdout=nobody_reads, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert unread.stderr == ""


def test_a_reopened_run_keeps_its_failed_attempts_in_view(cli: Cli, stage: Stage) -> None:
    event = stage.publish(GrainMilled(sack=9, spoilt=True))
    stage.drain()
    mended.add(9)
    cli("dead", "replay", "--all", "--yes")
    stage.drain()

    shown = cli("runs", "show", event).stdout

    assert "attempt 1 failed" in shown
    assert "replayed" in shown
    assert "in bake" not in shown
    traces = cli("runs", "show", event, "--traces").stdout
    assert "attempt 1: NonRetriable" in traces
    assert 'raise NonRetriable("\\x1b[31mthe grain is spoilt")' in traces and "in bake" in traces
    with stage.database.once("test") as connection:
        assert {run.rerun for run in list_runs(connection, actor="test_cli.bake")} == {1}
