"""Runs that have killed workers are performed by a process of their own, one at a time, whatever kind of actor they have."""

from datetime import timedelta

from broker.broker import CallboardBroker
from broker.engine import Engine
from broker.testing import Stage
from broker.transports.postgres import PostgresTransport
from tests.support import cast
from tests.support.waiting import eventually

_CRASHED_TWICE = """
update run set status = 'queued', crashes = 2, fence = fence + 1, wake = gen_random_uuid(), due_at = clock(), worker = null"""


def test_the_quarantine_performs_sync_and_async_runs_one_after_the_other(dsn: str) -> None:
    cast.forget()
    cast.Waiting.at_once = cast.Waiting.most = 0
    with Stage(dsn, [cast.wait_long, cast.once]) as stage:
        stage.rows("create table stagehand (n int)")
        for n in range(3):
            stage.publish(cast.CastKeyed(key=str(n)))
        eventually(lambda: cast.Waiting.at_once == 3 and len(cast.diary) == 3)
        stage.rows(_CRASHED_TWICE)
        quarantine = engine_for(stage)
        quarantine.start()
        cast.gate.set()
        eventually(lambda: stage.rows("select count(*) from run where status = 'completed'") == [(6,)], 30)
        assert quarantine.stop(timedelta(seconds=5))
    assert stage.rows("select count(*) from stagehand") == [(3,)]


def engine_for(stage: Stage) -> Engine:
    """The engine of a quarantine process, in this one."""
    settings = stage.settings.model_copy(update={"threads": 1, "async_slots": 1})
    broker = CallboardBroker(settings.namespace)
    broker.bind([cast.wait_long, cast.once])
    queues = [broker.topology().quarantine]
    return Engine(settings, broker, PostgresTransport(stage.database), queues=queues, claim_ahead=False)
