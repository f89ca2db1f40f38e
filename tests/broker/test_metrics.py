"""What is counted: every attempt once, over restarts, in rows and over OTLP."""

from collections.abc import Callable
from datetime import timedelta

from broker import Backoff, NonRetriable, Run, actor
from broker.metrics import CRITICAL, PROCESS, QUEUE, SENT, added, read, retire
from broker.telemetry import Telemetry
from broker.testing import Stage
from schemas import Event
from tests.broker.engine.conftest import database, make_stage
from tests.support.otlp import Receiver

__all__ = ["database", "make_stage"]

MakeStage = Callable[..., Stage]
FAST = Backoff(timedelta(milliseconds=1), timedelta(milliseconds=2), attempts=2)


class Weighed(Event, type="metrics.weighed"):
    grams: int


class Packed(Event, type="metrics.packed"):
    grams: int


@actor(retry=FAST)
def weigh(event: Weighed, run: Run) -> Packed:
    if event.grams < 0:
        raise NonRetriable("less than nothing")
    if event.grams == 0 and run.attempt == 1:
        raise ValueError("again")
    return Packed(grams=event.grams)


@actor()
def pack(event: Packed, run: Run) -> None:
    with run.transaction() as db:
        db.execute("select 1")


def test_each_attempt_is_counted_once_by_its_outcome_and_survives_its_process(make_stage: MakeStage) -> None:
    stage = make_stage([weigh, pack])
    for grams in (1, 2, 0, -1):
        stage.publish(Weighed(grams=grams))
    stage.drain()
    stage.engine.stop(timedelta(seconds=5))
    with stage.database.once("test") as connection:
        found = read(connection)
        assert {key: cell[0] for key, cell in found[PROCESS].items()} == {
            "test_metrics.weigh completed": 3,
            "test_metrics.weigh retrying": 1,
            "test_metrics.weigh failed": 1,
            "test_metrics.pack completed": 3,
        }
        assert found[QUEUE]["test_metrics.weigh"][0] == 4
        assert found[CRITICAL]["test_metrics.weigh"][0] == 4
        assert found[SENT] == {"test_metrics.weigh": [3]}
        assert all(
            sum(cell[2:]) == cell[0] for kind in (PROCESS, QUEUE, CRITICAL) for cell in found[kind].values()
        )
        # The process is gone; its row is added to that of all who are.
        connection.execute("update worker_metrics set at = clock() - interval '1 hour'")
        assert retire(connection) == 1 and retire(connection) == 0
        assert read(connection) == found


def test_rows_of_other_versions_are_added_up_as_far_as_they_agree() -> None:
    ours, theirs = (
        {"process": {"a": [1.0, 2.0, 1.0]}},
        {"process": {"a": [1.0, 2.0, 1.0, 9.0], "b": [1.0]}, "newer": {}},
    )
    assert added([ours, theirs]) == {"process": {"a": [2.0, 4.0, 2.0], "b": [1.0]}, "newer": {}}


def test_the_same_leaves_over_otlp_by_the_names_of_the_conventions(
    make_stage: MakeStage, collector: Receiver
) -> None:
    telemetry = Telemetry()
    stage = make_stage([weigh, pack], meter=telemetry.meter)
    stage.publish(Weighed(grams=1))
    stage.publish(Weighed(grams=-1))
    stage.drain()
    assert telemetry.shutdown()
    points = collector.metric("messaging.process.duration")
    assert {(p["messaging.destination.name"], p["callboard.outcome"]) for p in points} == {
        ("test_metrics.weigh", "completed"),
        ("test_metrics.weigh", "failed"),
        ("test_metrics.pack", "completed"),
    }
    assert {p.get("error.type") for p in points} == {None, "NonRetriable"}
    assert collector.metric("callboard.dead_letters")[0]["callboard.reason"] == "not retriable"
    names = {metric.name for metric in collector.metrics}
    assert names >= {
        "callboard.critical_time",
        "messaging.client.consumed.messages",
        "messaging.client.sent.messages",
    }
    assert {metric.unit for metric in collector.metrics if metric.name.endswith("duration")} == {"s"}
