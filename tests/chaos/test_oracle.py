"""The judge itself: each kind of fault is seen, and none is made up."""

import pytest

from broker.database import Database
from broker.migrate import engine_migrations, migrate
from ops.chaos.oracle import Asked, Oracle

CHAIN = ("begin", "halve", "end")


@pytest.fixture
def oracle(dsn: str) -> Oracle:
    database = Database(dsn)
    migrate(database, engine_migrations(database.schema))
    oracle = Oracle(database)
    oracle.prepare()
    return oracle


def done(oracle: Oracle, n: int, *, stages: tuple[str, ...] = CHAIN, times: int = 1) -> None:
    with oracle.database.once("test") as connection:
        for stage in stages:
            connection.execute(
                "insert into trial.effect (n, stage, times) values (%s, %s, %s)", (n, stage, times)
            )


def executed(oracle: Oracle, n: int, stage: str, part: str) -> None:
    with oracle.database.once("test") as connection:
        connection.execute(
            "insert into trial.execution (n, stage, part) values (%s, %s, %s)", (n, stage, part)
        )


def test_whole_chains_break_nothing(oracle: Oracle) -> None:
    done(oracle, 0)
    done(oracle, 1)

    verdict = oracle.judge(Asked({0, 1}))

    assert verdict.broken == ()
    assert (verdict.attempted, verdict.acknowledged, verdict.lost, verdict.duplicated) == (2, 2, 0, 0)


def test_a_chain_that_ends_half_way_is_lost(oracle: Oracle) -> None:
    done(oracle, 0, stages=("begin", "halve"))

    verdict = oracle.judge(Asked({0, 1}))

    assert verdict.lost == 2
    assert verdict.offenders == (0, 1)
    assert "I1 lost: 2" in verdict.broken


def test_an_effect_that_happened_twice_is_doubled(oracle: Oracle) -> None:
    done(oracle, 0, times=2)

    assert "I2 doubled: 1" in oracle.judge(Asked({0})).broken


def test_an_effect_that_nobody_asked_for_is_made_up(oracle: Oracle) -> None:
    done(oracle, 7)

    assert oracle.judge(Asked(set[int]())).broken == ("I3 made up: 1",)


def test_a_publish_that_raised_may_have_happened_whole_or_not_at_all(oracle: Oracle) -> None:
    done(oracle, 1)
    done(oracle, 2, stages=("begin",))

    verdict = oracle.judge(Asked(set[int](), unknown={1, 2, 3}))

    assert verdict.recovered == 1
    assert verdict.broken == ("I1 lost: 1",)
    assert verdict.offenders == (2,)


def test_a_planned_dead_letter_that_is_missing_is_told(oracle: Oracle) -> None:
    [line] = oracle.judge(Asked(set[int](), poison={"undecodable": 1})).broken

    assert line == "I5 dead letters: none, planned: 1 undecodable"


def test_a_body_that_starts_twice_breaks_only_where_nothing_was_killed(oracle: Oracle) -> None:
    done(oracle, 0)
    executed(oracle, 0, "begin", "one")
    executed(oracle, 0, "begin", "one")

    assert oracle.judge(Asked({0})).broken == ()
    assert oracle.judge(Asked({0}, started_once=True)).broken == ("I11 bodies started twice: 1",)
