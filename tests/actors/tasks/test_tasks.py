"""Work that is bounded by an hour, and a failure that is logged, told once, and passed on."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from actors.notifications.notify import notify
from actors.tasks.attend import attend
from actors.tasks.work_long import work_long
from broker.testing import Stage
from schemas.tasks import LongTask, TaskRequested
from tests.actors.stages import stage

LOG = "select level, line from tasks.log order by id"
RUNS = "select status, reason from run where actor = %s"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CALLBOARD_TASKS_FOLDER", str(tmp_path))
    return tmp_path


@pytest.fixture
def play(dsn: str, folder: Path) -> Iterator[Stage]:
    with stage(dsn, attend, work_long, notify) as made:
        yield made


def pass_time(play: Stage, times: int, each: timedelta) -> None:
    for _ in range(times):
        play.drain()
        play.clock.advance(each)
    play.drain()


def test_a_task_logs_its_start_and_its_end(play: Stage, folder: Path) -> None:
    (folder / "a.txt").write_text("hello")
    play.publish(TaskRequested(task_id="t-1", user_id="ada", file="a.txt"))
    play.drain()
    assert play.rows(LOG) == [("info", "task t-1 begins"), ("info", "task t-1 is done")]
    [(size,)] = play.rows("select (result->>'size')::int from run")
    assert size == 5


def test_a_step_that_fails_for_good_is_logged_told_once_and_passed_on(play: Stage) -> None:
    play.publish(TaskRequested(task_id="t-1", user_id="ada", file="missing.txt"))
    pass_time(play, 4, timedelta(minutes=1))
    [begins, error] = play.rows(LOG)
    assert begins == ("info", "task t-1 begins") and error[0] == "error" and "main-task" in error[1]
    assert play.rows("select user_id, title from notifications.notification") == [("ada", "Task Failed")]
    assert play.rows(RUNS, ("tasks.attend",))[0][0] == "failed"
    assert play.rows("select actor from dead_letter") == [("tasks.attend",)]


def test_a_long_task_waits_for_its_files_and_repeats_none(play: Stage, folder: Path) -> None:
    (folder / "a.txt").write_text("one")
    play.publish(LongTask(task_id="t-1", user_id="ada", files=("a.txt", "b.txt")))
    pass_time(play, 3, timedelta(minutes=1))
    assert play.rows(RUNS, ("tasks.work_long",))[0][0] == "waiting"
    (folder / "a.txt").write_text("changed meanwhile")
    (folder / "b.txt").write_text("three")
    pass_time(play, 3, timedelta(minutes=5))
    assert play.rows("select status, (result->>'size')::int from run") == [("completed", 3 + 5)]


def test_after_an_hour_a_long_task_is_given_up(play: Stage) -> None:
    play.publish(LongTask(task_id="t-1", user_id="ada", files=("missing.txt",)))
    pass_time(play, 13, timedelta(minutes=5))
    assert play.rows(RUNS, ("tasks.work_long",)) == [("failed", "timed out")]
