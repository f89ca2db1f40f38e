"""The rules that keep the shared commit sound."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from broker.database import Database
from broker.digest import digest
from broker.errors import JournalError
from broker.journal.batch import Batch, Identity
from broker.journal.claimed import ClaimedRun
from broker.journal.doors import Doors
from broker.journal.intents import (
    Claim,
    DeadLetter,
    Declined,
    End,
    Outgoing,
    Park,
    Record,
    Recorded,
    Resume,
    StepRow,
)
from broker.journal.writer import Journal
from schemas import Event, wrap
from tests.support.waiting import eventually


class Noted(Event, type="journal.noted"):
    n: int = 0
    text: str = ""


class NoDoors:
    def guards(self, actor: str) -> bool:
        return False

    def gathers(self, actor: str) -> int:
        return 0

    def read(self, run: ClaimedRun) -> None:
        return None

    def minds(self, left: object) -> bool:
        return False

    def ask(self, connection: object, asked: object, left: object) -> list[Outgoing]:
        raise AssertionError("nobody guards these actors")

    def given_up(self, claimed: ClaimedRun, reason: str) -> End:
        raise AssertionError("nobody guards these actors")


class NoOutbox:
    def write(self, connection: object, worker: UUID, messages: object) -> None: ...
    def committed(self, messages: object) -> None: ...


def claim(id: str = "", n: int = 0, actor: str = "a.b", source: str = "test") -> Claim:
    event = Noted(n=n)
    envelope = wrap(event, source=source, id=id or str(uuid4()))
    return Claim(actor, envelope, event, digest(envelope.data))


def batch_for(doors: Doors | None = None) -> Batch:
    identity = Identity(uuid4(), "test", 1, "test")
    identity.locked = True
    return Batch(identity, doors or NoDoors(), NoOutbox())


@pytest.fixture
def journal(database: Database) -> Iterator[Journal]:
    made = Journal(database, batch_for(), on_crash=lambda: None)
    made.start()
    yield made
    made.close()


def ask(journal: Journal, intent: Any) -> Any:
    return journal.ask(intent).result(20)


def rows(database: Database, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    with database.once("test") as connection:
        return connection.execute(statement.encode(), parameters).fetchall()


def test_a_new_claim_is_ours_and_a_second_one_is_a_duplicate(journal: Journal) -> None:
    first, again = claim("one"), claim("one")
    assert isinstance(ask(journal, first), ClaimedRun)
    assert ask(journal, again) == Declined("duplicate", f"run {first.run_id} is running")


def test_the_same_id_twice_in_a_batch_is_claimed_once(database: Database) -> None:
    batch, twins = batch_for(), [claim("same"), claim("same"), claim("same")]
    with database.connect("test") as connection:
        answers, _ = batch.apply(connection, twins, repeated=False)
    assert sorted(type(answer).__name__ for _, answer in answers) == ["ClaimedRun", "Declined", "Declined"]
    assert rows(database, "select count(*) from run") == [(1,)]


def test_the_same_id_with_another_payload_is_parked_as_reused(journal: Journal, database: Database) -> None:
    ask(journal, claim("one", n=1))
    assert ask(journal, claim("one", n=2)) == Declined("parked", "id reused")
    assert rows(database, "select reason, event_id from dead_letter") == [("id reused", "one")]


def test_another_source_may_use_the_same_id(journal: Journal) -> None:
    assert isinstance(ask(journal, claim("one", n=1)), ClaimedRun)
    assert isinstance(ask(journal, claim("one", n=2, source="other")), ClaimedRun)


def test_a_claim_whose_commit_went_unanswered_is_still_ours(journal: Journal) -> None:
    ours = claim("one")
    assert isinstance(ask(journal, ours), ClaimedRun)
    repeated = ask(journal, ours)
    assert isinstance(repeated, ClaimedRun) and repeated.id == ours.run_id


class BreakingBatch(Batch):
    """The first commit with records happens, and then its answer is lost with the connection."""

    broken = False

    def apply(self, connection: psycopg.Connection, intents: Any, **options: Any) -> Any:
        answers = super().apply(connection, intents, **options)
        if not self.broken and any(isinstance(intent, Record) for intent in intents):
            self.broken = True
            connection.close()
            raise psycopg.OperationalError("connection lost after commit")
        return answers


def test_an_unanswered_commit_is_repeated_and_its_effects_happen_once(database: Database) -> None:
    with database.once("test") as connection:
        connection.execute("create table effect (n int)")
    batch = BreakingBatch(batch_for().identity, NoDoors(), NoOutbox())
    journal = Journal(database, batch, on_crash=lambda: None)
    journal.start()
    try:
        run = ask(journal, claim())
        end = End("completed", writes=[("insert into effect values (%s)", (1,))])
        assert ask(journal, Record(run.id, run.fence, end=end)) == Recorded(True)
        assert batch.broken
        assert rows(database, "select count(*) from effect") == [(1,)]
        assert rows(database, "select status from run") == [("completed",)]
    finally:
        journal.close()


class DoubtfulBatch(Batch):
    """The first commit of a claim happens, and its answer is an error without a state over a connection that seems to stand."""

    doubted = False

    def apply(self, connection: psycopg.Connection, intents: Any, **options: Any) -> Any:
        answers = super().apply(connection, intents, **options)
        if not self.doubted and any(isinstance(intent, Claim) for intent in intents):
            self.doubted = True
            raise psycopg.OperationalError("consuming input failed")
        return answers


def test_a_claim_whose_commit_is_in_doubt_is_not_refused(database: Database) -> None:
    batch = DoubtfulBatch(batch_for().identity, NoDoors(), NoOutbox())
    journal = Journal(database, batch, on_crash=lambda: None)
    journal.start()
    try:
        run = ask(journal, claim("in doubt"))
        assert isinstance(run, ClaimedRun) and batch.doubted
        assert rows(database, "select id, status from run") == [(run.id, "running")]
    finally:
        journal.close()


def test_a_data_error_hits_the_guilty_one_alone(database: Database, journal: Journal) -> None:
    with database.once("test") as connection:
        connection.execute("create table effect (n int primary key)")
    runs = [ask(journal, claim()) for _ in range(9)]
    keys = [1, 2, 3, 4, 4, 5, 6, 7, 8]
    futures = [
        journal.ask(
            Record(
                run.id, run.fence, end=End("completed", writes=[("insert into effect values (%s)", (key,))])
            )
        )
        for run, key in zip(runs, keys, strict=True)
    ]
    outcomes = [future.exception(20) or future.result() for future in futures]
    refused = [outcome for outcome in outcomes if isinstance(outcome, JournalError)]
    assert len(refused) == 1 and "23505" in str(refused[0])
    assert rows(database, "select count(*) from effect") == [(8,)]


def test_a_refusal_does_not_quote_the_value(database: Database, journal: Journal) -> None:
    with database.once("test") as connection:
        connection.execute("create table effect (n int)")
    run = ask(journal, claim())
    end = End("completed", writes=[("insert into effect values (%s::int)", ("secret-value",))])
    error = journal.ask(Record(run.id, run.fence, end=end)).exception(20)
    assert isinstance(error, JournalError) and "secret-value" not in str(error)


def test_a_locked_row_holds_up_nobody_else(database: Database, journal: Journal) -> None:
    blocked, free = ask(journal, claim()), ask(journal, claim())
    with database.connect("blocker", autocommit=False) as blocker:
        blocker.execute("select 1 from run where id = %s for update", (blocked.id,))
        waiting = journal.ask(Record(blocked.id, blocked.fence, end=End("completed")))
        assert ask(journal, Record(free.id, free.fence, end=End("completed"))) == Recorded(True)
        assert not waiting.done()
        blocker.rollback()
    assert waiting.result(20) == Recorded(True)


def test_a_stale_fence_writes_nothing(database: Database, journal: Journal) -> None:
    with database.once("test") as connection:
        connection.execute("create table effect (n int)")
    run = ask(journal, claim())
    rows(database, "update run set fence = fence + 1 where id = %s returning id", run.id)
    step = StepRow("s", 0, "done", 1, timedelta(0), result="1")
    end = End("completed", writes=[("insert into effect values (1)", ())])
    assert ask(journal, Record(run.id, run.fence, (step,))) == Recorded(False)
    assert ask(journal, Record(run.id, run.fence, (step,), end)) == Recorded(False)
    assert rows(database, "select (select count(*) from step) + (select count(*) from effect)") == [(0,)]


def test_a_wake_up_resumes_once(database: Database, journal: Journal) -> None:
    run = ask(journal, claim())
    ask(journal, Record(run.id, run.fence, end=End("waiting", delay=timedelta(hours=1))))
    [(wake,)] = rows(database, "select wake from run")
    resumed = ask(journal, Resume(run.id, wake))
    assert isinstance(resumed, ClaimedRun) and (resumed.fence, resumed.attempt) == (run.fence + 1, 1)
    assert isinstance(ask(journal, Resume(run.id, wake)), Declined)
    assert isinstance(ask(journal, Resume(run.id, uuid4())), Declined)


def test_a_finished_step_is_never_overwritten(database: Database, journal: Journal) -> None:
    run = ask(journal, claim())
    ask(journal, Record(run.id, run.fence, (StepRow("s", 0, "done", 1, timedelta(0), result='"first"'),)))
    ask(journal, Record(run.id, run.fence, (StepRow("s", 0, "done", 2, timedelta(0), result='"second"'),)))
    assert rows(database, "select result #>> '{}' from step") == [("first",)]


def test_a_lost_connection_is_survived(database: Database, journal: Journal) -> None:
    ask(journal, claim())
    kill = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'callboard journal test'"
    assert rows(database, kill) == [(True,)]
    assert isinstance(ask(journal, claim()), ClaimedRun)


def test_a_completion_touches_no_index(database: Database, journal: Journal) -> None:
    runs = [ask(journal, claim()) for _ in range(50)]
    for future in [journal.ask(Record(run.id, run.fence, end=End("completed"))) for run in runs]:
        assert future.result(20) == Recorded(True)
    journal.close()
    hot = "select n_tup_upd, n_tup_hot_upd from pg_stat_all_tables where schemaname = 'callboard' and relname = 'run'"
    rows(database, "select pg_stat_clear_snapshot()")
    [(updated, hot_updated)] = rows(database, hot)
    assert (updated, hot_updated) == (50, 50)


def test_what_is_alive_is_known_before_it_runs(database: Database, journal: Journal) -> None:
    run = ask(journal, claim())
    assert run.id in rows(database, "select live from worker")[0][0]
    ask(journal, Record(run.id, run.fence, end=End("completed")))
    # At the latest with the next beat; until then the run's own status says that it is not to be looked for.
    eventually(lambda: run.id not in rows(database, "select live from worker")[0][0], 5)


def test_a_claim_says_at_once_who_runs_it_however_short_ago_the_last_beat_was(
    database: Database, journal: Journal
) -> None:
    ask(journal, claim("first"))
    again = ask(journal, claim("second"))
    assert again.id in rows(database, "select live from worker")[0][0]


def test_a_closed_journal_refuses_instead_of_forgetting(journal: Journal) -> None:
    journal.close()
    with pytest.raises(JournalError, match="stopping"):
        journal.ask(claim())


@pytest.mark.parametrize("faulty", ["vacuum", "select pg_sleep(60)", "no sql at all"])
def test_a_faulty_statement_stops_nobody_else(database: Database, faulty: str) -> None:
    class Impatient(Journal):
        def _connected(self) -> psycopg.Connection:
            connection = super()._connected()
            connection.execute("set statement_timeout to '500ms'")
            return connection

    journal = Impatient(database, batch_for(), on_crash=lambda: None)
    journal.start()
    try:
        guilty, innocent = ask(journal, claim()), ask(journal, claim())
        blamed = journal.ask(Record(guilty.id, guilty.fence, end=End("completed", writes=[(faulty, ())])))
        assert ask(journal, Record(innocent.id, innocent.fence, end=End("completed"))) == Recorded(True)
        assert isinstance(blamed.exception(20), JournalError)
        assert isinstance(ask(journal, claim()), ClaimedRun)
    finally:
        journal.close()


def test_an_event_done_under_an_earlier_name_of_its_actor_is_a_duplicate(journal: Journal) -> None:
    ask(journal, claim("one", actor="old.name"))
    renamed = claim("one", actor="new.name")
    renamed.aliases = ("old.name",)
    assert ask(journal, renamed) == Declined("duplicate", "done under an earlier name of the actor")
    other = claim("two", actor="new.name")
    other.aliases = ("old.name",)
    assert isinstance(ask(journal, other), ClaimedRun)


def test_an_event_done_under_the_new_name_is_a_duplicate_for_an_older_worker(
    database: Database, journal: Journal
) -> None:
    """In a deploy both names are consumed, and for a moment an event may go to both queues."""
    renamed = claim("one", actor="new.name")
    renamed.aliases = ("old.name", "older.name")
    run = ask(journal, renamed)
    assert isinstance(run, ClaimedRun)
    assert isinstance(ask(journal, claim("one", actor="old.name")), Declined)
    assert isinstance(ask(journal, claim("one", actor="older.name")), Declined)
    again = claim("one", actor="new.name")
    again.aliases = ("old.name", "older.name")
    assert ask(journal, again) == Declined("duplicate", f"run {run.id} is running")
    with database.once("test") as connection:
        rows = connection.execute("select actor, status, reason from run order by actor").fetchall()
    assert rows == [
        ("new.name", "running", None),
        ("old.name", "folded", "old.name is now new.name"),
        ("older.name", "folded", "older.name is now new.name"),
    ]


def test_a_fenced_attempt_does_not_forget_a_later_one_of_the_same_run(database: Database) -> None:
    batch, first = batch_for(), claim()
    with database.connect("test") as connection:
        [(_, run)], _ = batch.apply(connection, [first], repeated=False)
        assert isinstance(run, ClaimedRun)
        taken = "update run set fence = 2, status = 'queued', wake = gen_random_uuid() returning wake"
        [(wake,)] = connection.execute(taken).fetchall()
        [(_, again)], _ = batch.apply(connection, [Resume(run.id, wake)], repeated=False)
        assert isinstance(again, ClaimedRun)
        assert again.fence == 3
        [(_, late)], _ = batch.apply(
            connection, [Record(run.id, run.fence, end=End("completed"))], repeated=False
        )
        assert late == Recorded(False)
        batch.apply(connection, [Park(DeadLetter("undecodable", "x"))], repeated=False)
        assert connection.execute("select live from worker").fetchall() == [([run.id],)]


def test_a_run_ends_once_even_within_a_batch(database: Database) -> None:
    batch, first = batch_for(), claim()
    with database.connect("test") as connection:
        connection.execute("create table effect (n int)")
        batch.apply(connection, [first], repeated=False)
        ends = [
            Record(first.run_id, 1, end=End("completed", writes=[("insert into effect values (1)", ())])),
            Record(first.run_id, 1, end=End("retrying", delay=timedelta(0))),
        ]
        told, _ = batch.apply(connection, ends, repeated=False)
        answers = {id(record): answer for record, answer in told}
        assert [answers[id(record)] for record in ends] == [Recorded(True), Recorded(False)]
        assert connection.execute("select status from run").fetchall() == [("completed",)]


def test_a_statement_that_raises_a_state_of_trouble_itself_blocks_nobody(
    database: Database, journal: Journal
) -> None:
    with database.once("test") as connection:
        connection.execute(
            "create function away() returns int language plpgsql as $$ begin "
            "raise exception 'the foreign server is away' using errcode = '08001'; end $$"
        )
    guilty, innocent = ask(journal, claim()), ask(journal, claim())
    blamed = journal.ask(
        Record(guilty.id, guilty.fence, end=End("completed", writes=[("select away()", ())]))
    )
    assert ask(journal, Record(innocent.id, innocent.fence, end=End("completed"))) == Recorded(True)
    assert isinstance(blamed.exception(20), JournalError)
