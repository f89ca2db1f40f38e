"""Cancel against everything that may happen at the same moment: an end, a claim, a death, a lost server."""

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import pytest

from broker import Publisher
from broker.broker import CallboardBroker
from broker.cancel import Verdict, cancel
from broker.database import Database
from broker.declare import declare
from broker.journal.batch import NO_TOPOLOGY
from broker.journal.claimed import ClaimedRun
from broker.journal.intents import Declined, End, Record, Recorded
from broker.journal.writer import Journal
from ops.chaos.worker import transport_of
from tests.broker.engine.test_journal import batch_for, claim
from tests.support import cancel_cast
from tests.support.cancel_cast import CancelBegun
from tests.support.rabbit import empty_queues
from tests.support.trial_fleet import ready, worker
from tests.support.waiting import eventually

CAST = ("--cast", "tests.support.cancel_cast")
EFFECT = "insert into effect (run) values (%s)"


@pytest.fixture
def journal(database: Database) -> Iterator[Journal]:
    made = Journal(database, batch_for(), on_crash=lambda: None)
    made.start()
    yield made
    made.close()


@pytest.fixture
def publisher(amqp: str, database: Database) -> Iterator[Publisher]:
    """Of another service, on the same transport."""
    if amqp:
        empty_queues(amqp, [*(actor.name for actor in cancel_cast.ACTORS), "callboard.recorder"])
    broker = CallboardBroker("callboard")
    broker.bind(cancel_cast.ACTORS)
    transport = transport_of(database, amqp)
    declare(database, transport, broker.topology())
    yield Publisher(transport, "trial", database)
    transport.close()


def ask(journal: Journal, intent: Any) -> Any:
    return journal.ask(intent).result(20)


def rows(database: Database, statement: str) -> list[tuple[Any, ...]]:
    with database.once("test") as connection:
        return connection.execute(statement.encode()).fetchall()


def stop(database: Database, ids: list[UUID]) -> list[Verdict]:
    with database.once("test") as connection:
        return cancel(connection, NO_TOPOLOGY, ids, "tester")


def test_of_cancel_and_completion_exactly_one_wins_and_the_other_is_told(
    journal: Journal, database: Database
) -> None:
    with database.once("test") as connection:
        connection.execute("create table effect (run uuid)")
    won: list[bool] = []
    with ThreadPoolExecutor(1) as somebody, database.once("test") as other:
        for n in range(150):
            run: ClaimedRun = ask(journal, claim(f"race {n}"))
            end = End("completed", writes=[(EFFECT, (run.id,))])
            start = threading.Barrier(2)

            def at_once(id: UUID = run.id, start: threading.Barrier = start) -> list[Verdict]:
                with database.once("test") as connection:
                    start.wait()
                    return cancel(connection, NO_TOPOLOGY, [id], "tester")

            asked = somebody.submit(at_once)
            start.wait()
            for _ in range(n % 6):  # now the one is a little earlier, now the other
                other.execute("select 1")
            recorded: Recorded = ask(journal, Record(run.id, run.fence, end=end))
            [verdict] = asked.result(20)
            assert verdict.cancelled != recorded.held
            assert verdict.was == ("running" if verdict.cancelled else "completed")
            won.append(verdict.cancelled)
    assert 0 < won.count(True) < len(won), "one of them was always first: this was no race"
    assert rows(database, "select count(*) from effect") == [(won.count(False),)]
    told = dict(rows(database, "select status, count(*) from run group by 1"))
    assert told.get("cancelled", 0) == won.count(True) and told.get("completed", 0) == won.count(False)


def test_a_child_whose_parent_was_cancelled_meanwhile_does_not_start(
    journal: Journal, database: Database
) -> None:
    parent: ClaimedRun = ask(journal, claim("parent"))
    stop(database, [parent.id])
    late = claim("child")
    late.parent_id = parent.id
    assert ask(journal, late) == Declined("cancelled", f"its parent {parent.id} was cancelled")
    [(status, attempt, over)] = rows(
        database, "select status, attempt, finished_at is not null from run where parent_id is not null"
    )
    assert (status, attempt, over) == ("cancelled", 0, True)


def test_a_cancel_that_loses_its_server_has_done_nothing_and_may_be_repeated(
    journal: Journal, database: Database
) -> None:
    runs: list[ClaimedRun] = [ask(journal, claim(f"run {n}")) for n in range(3)]
    ids = [run.id for run in runs]
    with database.once("holder") as holder, ThreadPoolExecutor(1) as somebody:
        with holder.transaction():
            holder.execute("select 1 from run where id = %s for update", (ids[-1],))
            asked = somebody.submit(stop, database, ids)
            waiting = (
                "select pid from pg_stat_activity where application_name like '% test' "
                "and wait_event_type = 'Lock'"
            )
            [(pid,)] = eventually(lambda: rows(database, waiting))
            rows(database, f"select pg_terminate_backend({pid})")
            with pytest.raises(psycopg.OperationalError):
                asked.result(20)
        assert rows(database, "select distinct status, fence from run") == [("running", 1)]
        assert rows(database, "select 1 from audit union all select 1 from cancellation") == []
    assert all(verdict.cancelled for verdict in stop(database, ids))
    assert rows(database, "select distinct status, fence from run") == [("cancelled", 2)]


@pytest.mark.parametrize("frozen", [True, False])
def test_a_run_that_is_cancelled_while_its_worker_dies_does_not_come_back(
    frozen: bool, amqp: str, database: Database, publisher: Publisher
) -> None:
    with worker(database.url, amqp, *CAST) as doomed:
        ready(doomed)
        for n in range(4):
            publisher.publish(CancelBegun(name=f"a{n}", how="sleeps"))
        lingering = "select id from run where actor = 'cancel_cast.linger' and status = 'running'"
        eventually(lambda: rows(database, lingering)[3:], 30)
        ids = [id for (id,) in rows(database, lingering)]
        if frozen:  # it never hears of it
            doomed.send_signal(signal.SIGSTOP)
            verdicts = stop(database, ids)
            doomed.kill()
        else:
            doomed.kill()
            verdicts = stop(database, ids)
        assert all(verdict.cancelled for verdict in verdicts)
        with worker(database.url, amqp, *CAST) as other:
            ready(other)
            eventually(lambda: rows(database, "select count(*) from worker") == [(1,)], 30)
            publisher.publish(CancelBegun(name="after", how="sleeps"))
            after = f"{lingering} and event->>'name' = 'after'"
            eventually(lambda: rows(database, after), 30)
    told = "select status, crashes, fence from run where actor = 'cancel_cast.linger' and event->>'name' <> 'after'"
    assert rows(database, told) == [("cancelled", 0, 2)] * 4
