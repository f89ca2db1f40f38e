"""The worker that makes a variant is killed, whatever becomes of the other two.

CALLBOARD_TEST_KILLS=all tries all combinations.
"""

import os
import signal
from itertools import product
from pathlib import Path

import pytest

from tests.actors.orders.words import GOOD, WORDS, WordyStudio, ordered
from tests.end_to_end.store import Store
from tests.support.runner import running_worker
from tests.support.waiting import eventually
from tests.support.web import serving

pytestmark = [pytest.mark.end_to_end, pytest.mark.chaos]

FEW = [("bad", "kill", "busy"), ("kill", "broken", "kill")]
ALL = [words for words in product((*WORDS, "kill"), repeat=3) if "kill" in words]
KILLS = ALL if os.environ.get("CALLBOARD_TEST_KILLS") == "all" else FEW
ORDER = "select status from orders.song_order where id = %s and status in ('completed', 'failed')"
VARIANTS = "select status from orders.song_variant where order_id = %s order by number"


def test_a_kill_while_a_variant_is_made_costs_nothing(dsn: str, transport_url: str, tmp_path: Path) -> None:
    store = Store(dsn, transport_url)
    with serving() as web:
        settings = {**store.settings, "ORDERS_MUSIC_URL": web.url("/v1"), "DATA": str(tmp_path)}
        with running_worker(tmp_path, dsn, "--processes", "1", **settings) as runner:
            runner.wait_ready()

            def kill() -> None:
                for pid in [*runner.workers(), *runner.quarantine()]:
                    os.kill(pid, signal.SIGKILL)

            studio = WordyStudio(web, kill)
            for words in KILLS:
                order = ordered(words)
                store.publisher.publish(order)
                status = eventually(lambda id=order.order_id: store.rows(ORDER, (id,)), 120, every=0.1)  # type: ignore[misc]
                assert status == [("completed",)], words
                ends = ["complete" if word in GOOD else "failed" for word in words]
                assert [each for (each,) in store.rows(VARIANTS, (order.order_id,))] == ends, words
    store.publisher.transport.close()
    assert set(studio.made.values()) <= {1, 2}
    kept = [key for key, times in studio.made.items() if times == 1]
    assert len(kept) >= len(studio.made) - sum(words.count("kill") for words in KILLS)
