"""The fault programme in its short form, and the proof that each row can fail: without its guard it does."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from ops.chaos import plan, programme
from ops.chaos.arena import Servers
from ops.chaos.programme import Trial

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

SEED = 1
ROWS = plan.rows_named([], short=True)
SHORT = plan.trials(ROWS, seed=SEED, short=True, events=None, each_transport=True)
RED = plan.red_proofs(ROWS, seed=SEED)


@pytest.fixture(scope="module")
def own_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with programme.servers(tmp_path_factory.mktemp("chaos")) as servers:
        yield servers


def named(trial: Trial) -> str:
    return f"{trial.name} on {trial.transport}"


def each(trials: Iterable[Trial]) -> list[ParameterSet]:
    """Bodies that are interrupted are tried where coverage is not: its tracer would keep its lock for ever."""
    return [
        pytest.param(trial, id=named(trial), marks=[pytest.mark.interrupts] if trial.row.hanging else [])
        for trial in trials
    ]


def quietly(_done: int, _wanted: int) -> None:
    pass


@pytest.mark.parametrize("trial", each(SHORT))
def test_nothing_is_lost_doubled_or_left_over(trial: Trial, own_servers: Servers, tmp_path: Path) -> None:
    result = programme.attempt(trial, own_servers, tmp_path, quietly)

    assert result.broken == (), result.histories
    assert result.verdict.attempted == trial.size.events
    counted_by_workers = "--doubt" in trial.row.options
    assert result.faults > 0 or counted_by_workers, "nothing happened that could have broken anything"


@pytest.mark.parametrize("trial", each(RED))
def test_without_its_guard_the_row_breaks_an_invariant(
    trial: Trial, own_servers: Servers, tmp_path: Path
) -> None:
    assert programme.attempt_until_red(trial, own_servers, tmp_path, quietly).broken
