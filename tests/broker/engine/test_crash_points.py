"""A worker that dies at any of the named points loses nothing and doubles nothing; another goes on."""

import pytest

from broker.database import Database
from broker.outbox import HOLD
from ops.chaos.oracle import Oracle
from ops.chaos.seams import APART, CRASHED, POINTS, RABBIT_ONLY
from ops.chaos.trial import TrialBegun
from schemas import Event
from tests.support.trial_fleet import prepared, publish_all, ready, settle, worker

EVENTS = 12


@pytest.mark.parametrize("point", [point for point in POINTS if point not in APART])
def test_a_crash_loses_and_doubles_nothing(point: str, amqp: str, database: Database) -> None:
    if not amqp and point in RABBIT_ONLY:
        pytest.skip("the postgres transport has no outbox to confirm")
    oracle = prepared(database)
    with worker(database.url, amqp, "--crash", f"{point}:{passage(point)}") as doomed:
        ready(doomed)
        publish_all(database, amqp, events())
        with worker(database.url, amqp) as other:
            assert doomed.wait(30) == CRASHED
            ready(other)
            settle(oracle, EVENTS)
    finished_steps_ran_once(oracle)


def test_a_leader_that_dies_in_a_takeover_is_followed_by_another(amqp: str, database: Database) -> None:
    oracle = prepared(database)
    with worker(database.url, amqp, "--crash", "in the takeover:1") as doomed:
        ready(doomed)
        with worker(database.url, amqp) as victim:
            ready(victim)
            publish_all(database, amqp, events())
            victim.kill()
        assert doomed.wait(30) == CRASHED
        with worker(database.url, amqp) as other:
            ready(other)
            settle(oracle, EVENTS)


def test_commits_and_confirms_whose_answer_is_lost_hold_nothing_up(amqp: str, database: Database) -> None:
    """A transaction's events once waited 30 s, until the hold of their rows had passed."""
    oracle = prepared(database)
    with worker(database.url, amqp, "--doubt", "0.3") as doubting:
        ready(doubting)
        publish_all(database, amqp, events())
        settle(oracle, EVENTS, timeout=HOLD.total_seconds() * 2 / 3)


def events() -> list[Event]:
    return [TrialBegun(n=n, fail_first=n % 3 == 0) for n in range(EVENTS)]


def passage(point: str) -> int:
    """Late enough that work is under way, early enough that it happens."""
    return {
        "in the sweep": 3,
        "while scheduling a retry": 2,
        "in a transaction": 3,
        "after a transaction's commit": 3,
    }.get(point, 5)


def finished_steps_ran_once(oracle: Oracle) -> None:
    """A step in flight at the crash may run again (one a thread); none whose result had committed does."""
    for stage, part in (("begin", "one"), ("begin", "two"), ("halve", "one")):
        again = [n for n, times in oracle.executions(stage, part).items() if times > 1]
        assert len(again) <= 4, f"{stage}/{part} ran again for {again}"
