"""`callboard erase`, over all domains: of a person nothing is left in any table, of anybody else everything."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from actors.inbox.collect import collect
from actors.inbox.erase import erase as erase_inbox
from actors.inbox.recompute import recompute
from actors.inbox.refresh_analytics import refresh_analytics
from actors.notifications.erase import erase as erase_notifications
from actors.notifications.notify import notify
from actors.orders.accept import accept
from actors.orders.erase import erase as erase_orders
from actors.orders.finalize import finalize
from actors.orders.generate import generate
from actors.orders.offer import offer
from actors.pages.erase import erase as erase_pages
from actors.pages.fail import fail as fail_page
from actors.pages.scan import scan
from actors.pages.scan_project import scan_project
from actors.pages.track import track
from broker import Actor
from broker.testing import Stage
from schemas.inbox import InboxCountsDirty
from schemas.orders import Customization, OrderPaid
from schemas.pages import ProjectBatchScanRequested
from tests.actors.orders.conftest import songs as songs
from tests.actors.pages.conftest import open_web as open_web
from tests.actors.stages import stage
from tests.ops.conftest import Cli
from tests.ops.conftest import cli as cli
from tests.support.web import Web

PERSON, OTHER = "ada-4711", "ben-4711"
HOUSE: tuple[Actor[Any, Any], ...] = (
    collect, recompute, refresh_analytics, erase_inbox, notify, erase_notifications, accept, generate, finalize, offer,
    erase_orders, scan, scan_project, track, fail_page, erase_pages,
)  # fmt: skip
TABLES = """
select format('%I.%I', schemaname, tablename) from pg_tables
where schemaname in ('inbox', 'notifications', 'orders', 'pages', current_schema()) order by 1"""


@pytest.fixture
def play(cli: Cli, dsn: str, songs: Path, open_web: Web) -> Iterator[Stage]:
    open_web.routes["/"] = lambda call: call.page("<title>Here</title><h1>Here</h1>")
    with stage(dsn, *HOUSE) as play:
        yield play


def live(play: Stage, person: str, url: str) -> None:
    """One order, one batch, one message, and what follows from them."""
    wish = Customization(
        recipient_name=f"friend of {person}", occasion="birthday", genre="folk", mood="happy"
    )
    play.publish(
        OrderPaid(
            order_id=uuid4(), stripe_session_id=f"pay_{uuid4().hex}", customization=wish, user_id=person
        )
    )
    play.publish(ProjectBatchScanRequested(project_id=uuid4(), user_id=person, urls=(f"{url}?of={person}",)))
    with play.database.once("test") as connection:
        connection.execute(
            "insert into inbox.message (id, client_id, folder) values (%s, %s, 'in')", (uuid4(), person)
        )
    play.publish(InboxCountsDirty(client_id=person, request_id="r-1", source="test"))


def settle(play: Stage) -> None:
    """Everything that waits for quiet or for a start comes, too."""
    for _ in range(4):
        play.drain()
        play.clock.advance(timedelta(seconds=30))
    play.drain()


def told(play: Stage, person: str) -> list[str]:
    """Tables in which the person's id stands, anywhere."""
    found = []
    for (table,) in play.rows(TABLES):
        rows = play.rows(f"select count(*) from {table} t where t::text like '%%' || %s || '%%'", (person,))
        if rows != [(0,)]:
            found.append(table)
    return found


def test_who_is_erased_is_in_no_table_and_nobody_else_is_missed(
    play: Stage, songs: Path, open_web: Web, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    for person in (PERSON, OTHER):
        live(play, person, open_web.url("/"))
    settle(play)
    before = told(play, OTHER)
    assert {table.partition(".")[0] for table in before} >= {"inbox", "notifications", "orders", "pages"}
    assert told(play, PERSON) == before
    assert len(list(songs.rglob("*.wav"))) == 6

    monkeypatch.setenv("CALLBOARD_DEMO", "1")
    monkeypatch.setenv("CALLBOARD_APPS", "")
    done = cli("erase", PERSON, "--yes", "--by", "eve")
    assert done.exit_code == 0, done.output
    settle(play)

    # Until they expire: the run of the erasing itself, and keys of limits.
    left = {table.rpartition(".")[2] for table in told(play, PERSON)}
    assert {table for table in left if not table.startswith("limit_")} == {"run"}
    assert play.rows(
        "select distinct event_type from run where event::text like '%%' || %s || '%%'", (PERSON,)
    ) == [("person.erasure.requested",)]
    assert told(play, OTHER) == [*before]
    assert len(list(songs.rglob("*.wav"))) == 3
    assert play.rows("select status, count(*) from orders.song_order group by 1") == [("completed", 2)]
