"""Both sides do each scenario for real, in miniature; a round that was not done once is no round."""

from contextlib import closing

import pytest
from psycopg import connect

from ops.bench.figures import BenchError, Servers, Side
from ops.bench.job import Scenario
from ops.bench.rounds import Round, backlog, delayed, paced
from ops.embedded.postgres import EmbeddedPostgres
from ops.embedded.rabbitmq import EmbeddedRabbit
from tests.support.servers import Rabbit

SIDES: list[Side] = ["ours", "plain"]


@pytest.fixture
def servers(postgres: EmbeddedPostgres, rabbit: Rabbit) -> Servers:
    pid = rabbit.pid if isinstance(rabbit, EmbeddedRabbit) else 0
    return Servers(postgres.dsn, rabbit.url, postgres.pid, pid)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("scenario", ["tiny", "chain", "transaction", "steps", "async"])
def test_a_backlog_is_drained_and_proved(servers: Servers, side: Side, scenario: Scenario) -> None:
    made = backlog(servers, side, scenario, threads=4, events=20)

    assert made.events == 20
    assert made.rate > 0 and made.drain_rate > made.rate
    assert made.cpu_client > 0 and made.peak_bytes > 1_000_000


@pytest.mark.parametrize("side", SIDES)
def test_paced_events_are_told_one_by_one(servers: Servers, side: Side) -> None:
    made = paced(servers, side, "latency", threads=2, events=10)

    assert len(made.told) == 10 and min(made.told) > 0


def test_a_delayed_event_comes_when_it_is_due(servers: Servers) -> None:
    [milliseconds] = delayed(servers, "ours", threads=2, events=50).told

    assert 2_000 <= milliseconds < 8_000


@pytest.mark.parametrize("side", SIDES)
def test_a_row_too_many_is_found(servers: Servers, side: Side) -> None:
    with closing(Round(servers, side, "chain", 2, 5)) as work:
        work.publish(range(5))
        work.drain()
        schema = work.job.namespace if side == "ours" else "public"
        with connect(work.job.dsn, options=f"-c search_path={schema}") as connection:
            connection.execute("insert into effect (id, stage) values (999, 1)")

        with pytest.raises(BenchError, match="16 rows where 15 are right"):
            work.prove()


def test_a_run_that_needed_a_second_attempt_is_found(servers: Servers) -> None:
    with closing(Round(servers, "ours", "tiny", 2, 5)) as work:
        work.publish(range(5))
        work.drain()
        with connect(work.job.dsn, options=f"-c search_path={work.job.namespace}") as connection:
            connection.execute("update run set attempt = 2 where event_id = '3'")

        with pytest.raises(BenchError, match="1 runs did not complete at the first attempt"):
            work.prove()
