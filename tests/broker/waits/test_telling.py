"""`runs show` and `why` tell what a run waits for, and until when."""

from collections.abc import Callable
from datetime import timedelta
from io import StringIO

from rich.console import Console

from broker import Settings, history
from broker.testing import Stage
from ops.boot import App
from ops.cli.timeline import show_story
from ops.evidence import look
from ops.explain import explain
from tests.support import wait_cast
from tests.support.wait_cast import DAY, WaitListed, WaitOrdered, trouble
from tests.support.waiting import eventually

MakeStage = Callable[..., Stage]


def told(stage: Stage, actor: str) -> tuple[str, str]:
    """The timeline of the actor's one run, and why it waits."""
    out = Console(record=True, width=200, file=StringIO())
    with stage.database.once("test") as connection:
        [run] = history.list_runs(connection, actor=actor)
        show_story(out, history.story(connection, run))
        [finding, *_] = explain(look(connection, Settings(), App(), run.event_id))
    return out.export_text(), finding.why


def test_an_awaited_event_is_told_with_its_key_and_its_time(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.ship])
    stage.publish(WaitOrdered(order_id="a"))
    eventually(lambda: stage.rows("select 1 from run where status = 'waiting'"))
    timeline, why = told(stage, "wait_cast.ship")
    assert "wait.paid where order_id=a" in timeline
    assert "wait.paid where order_id=a, until 2" in why
    assert "(in 72.0 h)" in why


def test_a_fan_out_tells_its_progress_and_its_children(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.fan_out, wait_cast.square])
    trouble["sleepy"] = trouble["sevens"] = 1
    stage.publish(WaitListed(numbers=[7, 1, 2, 3], at_once=2))
    eventually(lambda: len(stage.rows("select 1 from run where status = 'waiting'")) == 3)
    stage.drain()
    timeline, why = told(stage, "wait_cast.fan_out")
    [(child,)] = stage.rows("select id from run where event ->> 'n' = '1'")
    assert f"1 of 4 done, 1 failed, 1 not sent yet, open: wait_cast.square run {child} (waiting)" in why
    assert "1 of 4 done" in timeline and why.endswith("as long as it takes")
    stage.clock.advance(DAY + timedelta(seconds=1))
