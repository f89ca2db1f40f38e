"""What history tells of runs that really happened."""

from datetime import timedelta
from uuid import uuid4

import pytest

from broker import history
from broker.errors import NotFoundError
from broker.testing import Stage
from ops.chaos.oracle import Oracle
from ops.chaos.trial import ACTORS, Journaled, TrialBegun
from schemas import uuid7
from tests.support.waiting import eventually


@pytest.fixture
def stage(dsn: str) -> Stage:
    Journaled.dsn = dsn
    made = Stage(dsn, ACTORS)
    Oracle(made.database).prepare()
    return made


def test_a_chain_is_the_runs_of_one_story_in_order(stage: Stage) -> None:
    with stage, stage.database.once("test") as connection:
        first, other = stage.publish(TrialBegun(n=1)), stage.publish(TrialBegun(n=2))
        stage.drain()

        runs = history.chain(connection, first)

        assert [run.actor for run in runs] == ["trial.begin", "trial.halve", "trial.end"]
        assert {run.correlation_id for run in runs} == {first}
        assert [run.causation_id for run in runs] == [None, first, runs[1].event_id]
        assert len(history.chain(connection, other)) == 3


def test_a_story_holds_failed_attempts_with_their_delay_steps_and_what_came_next(stage: Stage) -> None:
    with stage, stage.database.once("test") as connection:
        event = stage.publish(TrialBegun(n=1, fail_first=True))
        stage.drain(timedelta(seconds=30))
        [run] = history.runs_of(connection, event)

        told = history.story(connection, run)

        assert (run.status, run.attempt) == ("completed", 2)
        assert run.event is not None
        assert run.event["fail_first"] is True
        [failed] = told.attempts
        assert (failed.attempt, failed.kind) == (1, "ValueError")
        assert failed.delay is not None
        assert [step.name for step in told.steps] == ["one", "two"]
        assert [step.attempt for step in told.steps] == [1, 2]
        assert [after.actor for after in told.next] == ["trial.halve"]
        assert not told.letters


def test_a_run_is_found_by_its_own_id_and_by_its_events(stage: Stage) -> None:
    with stage, stage.database.once("test") as connection:
        event = stage.publish(TrialBegun(n=1))
        stage.drain()
        [run] = history.runs_of(connection, event)

        assert [found.id for found in history.runs_of(connection, str(run.id))] == [run.id]
        assert history.get_run(connection, run.id).event_id == event
        assert history.runs_of(connection, "no such thing") == []
        with pytest.raises(NotFoundError, match="callboard why"):
            history.get_run(connection, uuid4())


def test_lists_are_newest_first_and_filtered(stage: Stage) -> None:
    with stage, stage.database.once("test") as connection:
        stage.publish(TrialBegun(n=1))
        stage.drain()

        assert [run.actor for run in history.list_runs(connection)] == [
            "trial.end",
            "trial.halve",
            "trial.begin",
        ]
        assert [run.actor for run in history.list_runs(connection, actor="trial.halve")] == ["trial.halve"]
        assert history.list_runs(connection, status="failed") == []
        assert len(history.list_runs(connection, limit=1)) == 1
        assert history.count_runs(connection) == {"completed": 3}


def test_what_nobody_has_claimed_is_on_its_way(stage: Stage) -> None:
    with stage, stage.database.once("test") as connection:
        event = str(uuid7())
        stage.publish(TrialBegun(n=1), id=event, delay=timedelta(hours=1))

        [message] = history.messages_of_event(connection, event)

        assert (message.place, message.event_type, message.held) == ("outbox", "trial.begun", False)
        assert message.due_in is not None
        assert timedelta(minutes=59) < message.due_in <= timedelta(hours=1)
        assert [each.event_id for each in history.messages_of_chain(connection, event)] == [event]
        assert history.hearers(connection, "trial.begun") == ["trial.begin"]
        [worker] = eventually(lambda: history.workers(connection))
        assert worker.silent < timedelta(seconds=10)
