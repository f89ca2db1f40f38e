"""`callboard trace`: a story as a tree, whichever of its events or runs one has."""

import json
from collections.abc import Iterator

import pytest

from broker import NO_RETRY, Run, actor
from broker.testing import Stage
from schemas import Event
from tests.ops.conftest import Cli


class SeedSown(Event, type="seed.sown"):
    row: int


class SeedGrown(Event, type="seed.grown"):
    row: int


@actor(retry=NO_RETRY)
def sow(event: SeedSown, run: Run) -> SeedGrown:
    run.step("dig", str, event.row)
    return SeedGrown(row=event.row)


@actor(retry=NO_RETRY)
def harvest(event: SeedGrown, run: Run) -> None:
    run.step("cut", cut, event.row)


def cut(row: int) -> None:
    raise ValueError("\x1b[31mthe scythe is blunt")


@pytest.fixture
def stage(dsn: str) -> Iterator[Stage]:
    with Stage(dsn, [sow, harvest]) as made:
        yield made


def test_the_story_is_a_tree_with_steps_failures_and_letters(
    stage: Stage, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_TRACE_URL", "https://traces.example.com/t/{trace_id}")
    first = stage.publish(SeedSown(row=1))
    stage.drain()
    told = cli("trace", first)
    assert told.exit_code == 0, told.output
    lines = [line.rstrip() for line in told.stdout.splitlines()]
    [(trace_id,)] = set(stage.rows("select split_part(traceparent, '-', 2) from run"))
    assert lines[0].startswith(f"story {first}, 2 runs in ")
    assert any(trace_id in line for line in lines)
    assert any(f"https://traces.example.com/t/{trace_id}" in line for line in lines)
    tree = [line.split("  ")[0] or line.strip().split("  ")[0] for line in lines[lines.index("") + 2 :]]
    assert [part.strip() for part in tree] == [
        "test_trace.sow", "· dig", "test_trace.harvest", "· given up", tree[4].strip(),
    ]  # fmt: skip
    assert tree[4].strip().startswith("· dead letter ") and "\x1b" not in told.stdout
    last = stage.rows("select id::text, event_id from run order by id desc")[0]
    assert (
        cli("trace", last[0]).stdout.splitlines()[0]
        == cli("trace", last[1]).stdout.splitlines()[0]
        == lines[0]
    )
    assert len(json.loads(cli("trace", first, "--json").stdout)) == 2


def test_an_unknown_id_is_told(stage: Stage, cli: Cli) -> None:
    told = cli("trace", "nobody")
    assert told.exit_code == 1 and "callboard why nobody" in told.stderr
