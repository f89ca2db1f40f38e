"""The journal against a model: whatever is claimed, ended, crashed, woken, paused, ticked, cancelled and replayed in whatever
order, PostgreSQL holds what a dictionary would.

CALLBOARD_TEST_SEQUENCES sets how many sequences are tried.
"""

import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from periodiq import cron

from broker import Missed, Publisher, Run, Schedule, actor, dead_letters
from broker.broker import CallboardBroker
from broker.cancel import cancel
from broker.database import Database
from broker.digest import digest
from broker.doors import PolicyDoors
from broker.journal.batch import NO_TOPOLOGY
from broker.journal.claimed import ClaimedRun
from broker.journal.intents import Claim, DeadLetter, Declined, End, FailedAttempt, Record, Recorded, Resume
from broker.journal.writer import Journal
from broker.middleware.pause import Pause as PauseDoor
from broker.pause import PauseSweep, pause, resume
from broker.reopen import Again, rerun
from broker.schedules.register import register
from broker.schedules.scheduler import Scheduler
from broker.takeover import Takeover
from broker.testing import VirtualClock
from broker.transports.postgres import PostgresTransport
from schemas import wrap
from tests.broker.engine.test_journal import Noted, batch_for

SEQUENCES = int(os.environ.get("CALLBOARD_TEST_SEQUENCES", "25"))
IDS = st.integers(0, 1)
"""Few, so that sequences go deep: a fence has to be handed out twice before a stale one can be tried."""
OPEN = ("queued", "waiting", "retrying")
HOURLY = Schedule("hourly", cron("0 * * * *"), Noted(text="an hour has passed"), missed=Missed.ALL)
EMPTY = """
truncate run, step, attempt, dead_letter, outbox, worker, cancellation, audit, effect, pause, pause_run, schedule, schedule_tick
cascade"""
EFFECT = "insert into effect as e (n, times) values (%s, 1) on conflict (n) do update set times = e.times + 1"


@actor()
def act(event: Noted, run: Run) -> None:
    """Never performed: the model says how it ends."""


@dataclass
class Expected:
    """What the run of one event must look like. `fences` are all that were ever handed out: the stale ones too."""

    id: UUID
    payload: int
    status: str = "running"
    fence: int = 1
    attempt: int = 1
    crashes: int = 0
    rerun: int = 0
    effects: int = 0
    cancels: int = 0
    held: bool = False
    """By a pause, until that is lifted."""
    fences: list[int] = field(default_factory=lambda: [1])


class Machine(RuleBasedStateMachine):
    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database = database
        self.runs: dict[int, Expected] = {}
        self.reused = 0
        self.stack = ExitStack()
        self.connection = self.stack.enter_context(database.once("model"))
        self.connection.execute(EMPTY)
        self.paused = False
        self.clock = VirtualClock(database)
        register(database, [HOURLY], [""])
        self.first = self.rows("select next_at from schedule")[0][0]
        publisher = Publisher(PostgresTransport(database), "model", database)
        self.schedulers = [Scheduler([HOURLY], publisher) for _ in range(2)]
        broker = CallboardBroker("callboard")
        broker.bind([act])
        [self.pause_door] = [door for door in broker.policies if isinstance(door, PauseDoor)]
        self.batch = batch_for(
            PolicyDoors(broker, broker.topology(), lambda _, reason: End("failed", reason))
        )
        self.journal = Journal(database, self.batch, on_crash=lambda: None)
        self.journal.start()

    def teardown(self) -> None:
        self.journal.close()
        self.stack.close()

    @rule(n=IDS, payload=st.integers(0, 1), twice=st.booleans())
    def claim(self, n: int, payload: int, twice: bool) -> None:
        event = Noted(n=payload)
        envelope = wrap(event, source="model", id=str(n))
        asked = Claim(act.name, envelope, event, digest(envelope.data))
        answer = self.ask(asked)
        known = self.runs.get(n)
        if known is None and self.paused:
            assert answer == Declined("postponed", "paused")
            [(id,)] = self.rows("select id from run where event_id = %s", (str(n),))
            self.runs[n] = Expected(id, payload, "waiting", attempt=0, held=True)
        elif known is None:
            assert isinstance(answer, ClaimedRun)
            assert (answer.fence, answer.attempt) == (1, 1)
            self.runs[n] = Expected(answer.id, payload)
            if twice:
                assert isinstance(self.ask(asked), ClaimedRun), "the same claim again is still ours"
        elif known.payload == payload:
            assert answer == Declined("duplicate", f"run {known.id} is {known.status}")
        else:
            assert isinstance(answer, Declined) and answer.reason == "id reused"
            self.reused += 1

    @precondition(lambda self: self.runs)
    @rule(
        n=IDS,
        which=st.integers(0, 3),
        on=st.booleans(),
        how=st.sampled_from(["complete", "retry", "sleep", "give up"]),
    )
    def end(self, n: int, which: int, on: bool, how: str) -> None:
        """By whoever holds one of the fences: only the current one of a running run may write. `on` wakes what waits at once, so
        that there are stale fences soon."""
        if (run := self.runs.get(n)) is None:
            return
        fence = run.fences[-1 - which % len(run.fences)]
        held = run.status == "running" and fence == run.fence
        answer = self.ask(Record(run.id, fence, end=self.ends(how, n)))
        assert answer == Recorded(held)
        if held:
            run.status = {
                "complete": "completed",
                "retry": "retrying",
                "sleep": "waiting",
                "give up": "failed",
            }[how]
            run.effects += how == "complete"
        if on and run.status in OPEN:
            self.wake(n, right=True)

    @precondition(lambda self: self.runs)
    @rule(n=IDS, right=st.booleans())
    def wake(self, n: int, right: bool) -> None:
        if (run := self.runs.get(n)) is None:
            return
        [(wake,)] = self.rows("select wake from run where id = %s", (run.id,))
        answer = self.ask(Resume(run.id, wake if right and wake is not None else uuid4()))
        if not (right and run.status in OPEN):
            assert isinstance(answer, Declined)
            return
        outside = run.attempt == 0
        run.attempt = run.attempt + 1 if run.status == "retrying" else max(run.attempt, 1)
        run.fence += 1
        run.fences.append(run.fence)
        run.held = self.paused
        if self.paused:
            assert answer == Declined("postponed", "paused")
            run.status = "waiting"
            run.attempt -= outside
            return
        assert isinstance(answer, ClaimedRun)
        run.status = "running"
        assert (answer.fence, answer.attempt) == (run.fence, run.attempt)

    @rule()
    def pause_or_resume(self) -> None:
        """What waited for the pause is due again as soon as the leader has looked."""
        if self.paused:
            resume(self.connection, "actor", act.name, "tester")
            PauseSweep().sweep(self.connection)
            for run in self.runs.values():
                run.held = False
        else:
            assert pause(self.connection, "actor", act.name, "tester")
        self.paused = not self.paused
        self.pause_door.sweep(self.connection)

    @rule(hours=st.integers(0, 3))
    def tick(self, hours: int) -> None:
        """Two schedulers look after so many hours: whoever comes first makes the ticks, and both know it."""
        self.clock.advance(timedelta(hours=hours))
        made = [scheduler.sweep(self.connection) for scheduler in self.schedulers]
        assert made[0] >= hours and made[1] == 0

    @rule()
    def crash(self) -> None:
        """The worker is found dead, whatever it still believes."""
        takeover = Takeover(
            uuid4(), self.database.label, lease=timedelta(0), crash_limit=1000, bury=lambda _: End("failed")
        )
        # Everybody else is older than a lease of no length.
        takeover.sweep(self.connection)
        for run in self.runs.values():
            if run.status == "running":
                run.status, run.fence, run.crashes = "queued", run.fence + 1, run.crashes + 1

    @precondition(lambda self: self.runs)
    @rule(n=IDS)
    def cancel(self, n: int) -> None:
        """Whatever it does; what is over stays so."""
        if (run := self.runs.get(n)) is None:
            return
        [verdict] = cancel(self.connection, NO_TOPOLOGY, [run.id], "tester")
        assert verdict.was == run.status
        assert verdict.cancelled == (run.status in (*OPEN, "running"))
        if verdict.cancelled:
            run.status, run.fence, run.cancels, run.held = "cancelled", run.fence + 1, run.cancels + 1, False

    @precondition(lambda self: any(run.status == "cancelled" for run in self.runs.values()))
    @rule(n=IDS)
    def run_again(self, n: int) -> None:
        """A cancelled one."""
        run = self.runs.get(n)
        if run is None or run.status != "cancelled":
            return
        rerun(self.connection, run.id, Again("tester"))
        run.status, run.fence, run.attempt = "queued", run.fence + 1, 0
        run.rerun, run.crashes = run.rerun + 1, 0

    @precondition(lambda self: any(run.status == "failed" for run in self.runs.values()))
    @rule(n=IDS)
    def replay(self, n: int) -> None:
        run = self.runs.get(n)
        if run is None or run.status != "failed":
            return
        [(letter,)] = self.rows(
            "select id from dead_letter where run_id = %s and settled_at is null", (run.id,)
        )
        assert dead_letters.replay(self.connection, [letter], Again("tester")) == [letter]
        assert dead_letters.replay(self.connection, [letter], Again("tester")) == [], (
            "two people replay it once"
        )
        [(run.status, run.fence, run.attempt)] = self.rows(
            "select status, fence, attempt from run where id = %s", (run.id,)
        )
        run.rerun, run.crashes = run.rerun + 1, 0
        assert run.status in OPEN

    @invariant()
    def postgresql_holds_what_the_model_says(self) -> None:
        found = self.rows("select event_id::int, status, fence, attempt, crashes, rerun from run order by 1")
        assert found == [
            (n, run.status, run.fence, run.attempt, run.crashes, run.rerun)
            for n, run in sorted(self.runs.items())
        ]
        assert dict(self.rows("select n, times from effect")) == {
            n: run.effects for n, run in self.runs.items() if run.effects
        }
        assert max((run.effects for run in self.runs.values()), default=0) <= 1
        cancelled = self.rows("select count(*) from audit where what = 'cancel'")
        assert cancelled == [(sum(run.cancels for run in self.runs.values()),)]
        failed = sum(run.status == "failed" for run in self.runs.values())
        assert self.rows("select count(*) from dead_letter where settled_at is null") == [
            (failed + self.reused,)
        ]
        due = self.rows("select count(*) from run where due_at is not null and wake is not null")
        assert due == [(sum(run.status in OPEN and not run.held for run in self.runs.values()),)]
        [(slots,)] = self.rows(
            "select extract(epoch from next_at - %s)::int / 3600 from schedule", (self.first,)
        )
        assert self.rows("select count(*), count(distinct slot) from schedule_tick") == [(slots, slots)]
        assert self.rows("select count(*), count(distinct id) from outbox") == [(slots, slots)]

    def ask(self, intent: Any) -> Any:
        return self.journal.ask(intent).result(20)

    def rows(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        return self.connection.execute(statement.encode(), values or None).fetchall()

    @staticmethod
    def ends(how: str, n: int) -> End:
        if how == "complete":
            return End("completed", writes=[(EFFECT, (n,))])
        if how == "retry":
            failure = FailedAttempt("ValueError", "it failed", delay=timedelta(hours=1))
            return End("retrying", delay=timedelta(hours=1), failure=failure)
        if how == "sleep":
            return End("waiting", reason="sleeps", delay=timedelta(hours=1))
        failure = FailedAttempt("ValueError", "it failed")
        return End(
            "failed",
            reason="attempts used up",
            failure=failure,
            dead=DeadLetter("attempts used up", "it failed"),
        )


@pytest.mark.slow
def test_any_sequence_leaves_what_the_model_says(database: Database) -> None:
    with database.once("model") as connection:
        connection.execute("create table effect (n int primary key, times int not null)")
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    run_state_machine_as_test(
        lambda: Machine(database),  # type: ignore[arg-type]  # it is called, nothing else
        settings=settings(
            max_examples=SEQUENCES,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=checks,
        ),
    )
