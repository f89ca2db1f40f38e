"""RabbitMQ dies for twenty seconds while events are published and performed: nobody notices but the clock."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from ops.embedded.rabbitmq import EmbeddedRabbit
from tests.support.pace import ticks
from tests.support.trial_crew import crew
from tests.support.waiting import eventually

pytestmark = [pytest.mark.end_to_end, pytest.mark.chaos, pytest.mark.slow]

OUTAGE = timedelta(seconds=20)
BEFORE, A_TICK, AFTER = 60, 5, 30


@pytest.fixture
def own_rabbit(tmp_path: Path) -> Iterator[EmbeddedRabbit]:
    server = EmbeddedRabbit(tmp_path / "rabbit")
    server.start()
    yield server
    server.kill()


def test_nothing_is_lost_doubled_or_restarted(own_rabbit: EmbeddedRabbit, dsn: str, tmp_path: Path) -> None:
    with crew(dsn, own_rabbit.url, 2, tmp_path / "workers.log") as workers:
        workers.publish(range(BEFORE))
        count = BEFORE
        eventually(lambda: workers.oracle.executions("begin", "one"), 60)  # it has begun

        own_rabbit.kill()
        for _ in ticks(timedelta(seconds=1), OUTAGE):
            workers.publish(range(count, count + A_TICK))
            count += A_TICK
        assert count > BEFORE + A_TICK
        own_rabbit.start()
        workers.publish(range(count, count + AFTER))
        count += AFTER

        eventually(lambda: workers.is_done(count), 150, every=0.2)
        assert workers.all_alive
    for stage, part in (("begin", "one"), ("begin", "two"), ("halve", "one"), ("end", "body")):
        started = workers.oracle.executions(stage, part)
        assert set(started) == set(range(count))
        assert {n: times for n, times in started.items() if times != 1} == {}, f"{stage}/{part} started again"
