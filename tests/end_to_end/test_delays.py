"""What is due in an hour costs nothing until then."""

from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest

from ops.chaos.trial import TrialBegun
from tests.support.memory import growth, rss_bytes
from tests.support.pace import ticks
from tests.support.trial_crew import crew
from tests.support.waiting import eventually

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

DELAYED, A_BATCH = 50_000, 1_000
WARM = 100
FRESH = DELAYED + WARM


def test_fifty_thousand_delayed_events_take_no_memory_and_no_time(
    dsn: str, transport_url: str, tmp_path: Path
) -> None:
    samples: list[int] = []
    with crew(dsn, transport_url, 1, tmp_path / "worker.log") as workers:
        [pid] = workers.pids
        workers.publish(range(WARM))
        eventually(lambda: workers.is_done(WARM), 60)

        for start in range(0, DELAYED, A_BATCH):
            events = [TrialBegun(n=WARM + start + n) for n in range(A_BATCH)]
            workers.publisher.publish_many(events, delay=timedelta(hours=1))
            samples.append(rss_bytes(pid))
        samples += [rss_bytes(pid) for _ in ticks(timedelta(seconds=0.25), timedelta(seconds=8))]

        workers.publisher.publish(TrialBegun(n=FRESH), id="fresh")
        published = monotonic()
        eventually(lambda: FRESH in workers.oracle.executions("begin", "one"), 20)
        waited = monotonic() - published
        with workers.oracle.database.once("test") as connection:
            row = connection.execute(
                "select count(*) from outbox where send_at > clock() and held_by is null"
            ).fetchone()
        assert set(workers.oracle.executions("begin", "one")) == {*range(WARM), FRESH}
    assert row == (DELAYED,)
    assert waited < 2
    assert growth(samples) <= 1.05, [sample // 1024 for sample in samples]
