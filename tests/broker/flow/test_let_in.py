"""What the doors have let in is not asked again, whatever becomes of its worker: it would be dropped half done."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from broker import RateLimit, Run, actor
from broker.broker import CallboardBroker
from broker.database import Database
from broker.digest import digest
from broker.doors import PolicyDoors
from broker.journal.claimed import ClaimedRun
from broker.journal.intents import Claim, Declined, End, Record, Recorded, Resume
from broker.journal.writer import Journal
from broker.takeover import Takeover
from broker.testing import VirtualClock
from schemas import Event, wrap
from tests.broker.engine.test_journal import batch_for

HOUR = timedelta(hours=1)


class GuestCame(Event, type="guest.came"):
    n: int


@actor(rate_limit=RateLimit(1, per=4 * HOUR), max_age=HOUR)
def greet(event: GuestCame, run: Run) -> None:
    """Never performed: the test says what becomes of it."""


class House:
    """A journal with real doors, and no worker behind it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = VirtualClock(database)
        broker = CallboardBroker("callboard")
        broker.bind([greet])
        doors = PolicyDoors(broker, broker.topology(), lambda _, reason: End("failed", reason))
        self.journal = Journal(database, batch_for(doors), on_crash=lambda: None)
        self.journal.start()

    def ask(self, intent: Any) -> Any:
        return self.journal.ask(intent).result(20)

    def claim(self, n: int) -> Any:
        event = GuestCame(n=n)
        envelope = wrap(event, source="door", id=str(n))
        return self.ask(Claim(greet.name, envelope, event, digest(envelope.data)))

    def wake(self, run: ClaimedRun) -> Any:
        with self.database.once("test") as connection:
            [(wake,)] = connection.execute("select wake from run where id = %s", (run.id,)).fetchall()
        return self.ask(Resume(run.id, wake))

    def worker_dies(self) -> None:
        takeover = Takeover(
            uuid4(), self.database.label, lease=timedelta(0), crash_limit=9, bury=lambda _: End("failed")
        )
        with self.database.once("test") as connection:
            takeover.sweep(connection)


@pytest.fixture
def house(database: Database) -> Iterator[House]:
    made = House(database)
    yield made
    made.journal.close()


@pytest.mark.parametrize("how", ["its worker dies", "handed back"])
def test_a_run_that_was_let_in_goes_on_though_its_key_is_full_and_its_event_old(
    house: House, how: str
) -> None:
    # Both asked again: the run met its own start in the window, and was skipped.
    run = house.claim(1)
    assert isinstance(run, ClaimedRun)
    assert house.claim(2) == Declined("skipped", "rate limited")
    if how == "handed back":
        back = End("queued", reason="handed back", delay=timedelta(0))
        assert house.ask(Record(run.id, run.fence, end=back)) == Recorded(True)
    else:
        house.worker_dies()
    house.clock.advance(2 * HOUR)
    again = house.wake(run)
    assert isinstance(again, ClaimedRun)
    assert (again.id, again.attempt) == (run.id, 1)
