"""PostgreSQL crashes three times under load, and workers stay."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ops.embedded.postgres import EmbeddedPostgres
from tests.support.servers import fresh_database, running_postgres
from tests.support.trial_crew import Crew, crew
from tests.support.waiting import eventually

pytestmark = [pytest.mark.end_to_end, pytest.mark.chaos, pytest.mark.slow]

CHAINS, ROUNDS = 300, 3
A_ROUND = CHAINS // ROUNDS
UNDER_WAY = 20


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    with running_postgres(tmp_path / "postgres") as server:
        yield server


def test_three_crashes_lose_and_double_nothing(
    own_postgres: EmbeddedPostgres, transport_url: str, tmp_path: Path
) -> None:
    with (
        fresh_database(own_postgres.dsn) as dsn,
        crew(dsn, transport_url, 2, tmp_path / "workers.log") as workers,
    ):
        pids = workers.pids
        for first in range(0, CHAINS, A_ROUND):
            workers.publish(range(first, first + A_ROUND))
            eventually(partial(has_begun, workers, first + UNDER_WAY), 60)
            assert workers.oracle.faults(first + A_ROUND), "the crash comes too late to say anything"
            own_postgres.kill()
            own_postgres.start()

        eventually(lambda: workers.is_done(CHAINS), 120, every=0.2)
        assert workers.all_alive
        assert workers.pids == pids


def has_begun(workers: Crew, count: int) -> bool:
    return len(workers.oracle.executions("begin", "one")) >= count
