"""Counts follow their messages: once a burst, never twice, never backwards, whoever dies."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from actors.inbox import background, providers, store
from actors.inbox.collect import collect
from actors.inbox.process import process
from actors.inbox.recompute import JOB, recompute
from actors.inbox.refresh_analytics import refresh_analytics
from actors.inbox.sweep import sweep
from broker.testing import Stage
from pipelines.inbox import sweep_every_five_minutes
from schemas import Event
from schemas.inbox import (
    AnalyticsAggregatesRecompute,
    BackgroundProcessRequested,
    InboxCountsDirty,
    InboxCountsRecompute,
    InboxSweepDue,
)
from tests.actors.stages import stage
from tests.test_house import HOUSE

CHANGES = int(os.environ.get("CALLBOARD_TEST_CHANGES", "600"))
COUNTS = "select client_id, folder, total, unread from inbox.count order by 1, 2"
OF_JOB = "select count(*) from run where actor = 'inbox.recompute' and status = %s"


@pytest.fixture
def inbox(dsn: str) -> Iterator[Stage]:
    with stage(dsn, collect, recompute, refresh_analytics, sweep, process) as play:
        yield play


def dirty(client: str, n: int = 0) -> InboxCountsDirty:
    return InboxCountsDirty(client_id=client, request_id=str(n), source="test")


def receive(play: Stage, client: str, folder: str = "new", count: int = 1) -> None:
    for _ in range(count):
        play.rows(
            "insert into inbox.message (id, client_id, folder) values (%s, %s, %s)", (uuid4(), client, folder)
        )


def calm_down(play: Stage) -> None:
    play.drain()
    play.clock.advance(timedelta(seconds=11))
    play.drain()


def versions(play: Stage) -> dict[str, int]:
    return dict(play.rows("select client_id, version from inbox.client"))


def test_a_change_becomes_counts_a_version_and_a_clean_mark(inbox: Stage) -> None:
    receive(inbox, "c-1", "new", 2)
    receive(inbox, "c-1", "done")
    inbox.rows("update inbox.message set read_at = now() where folder = 'done'")
    inbox.publish(dirty("c-1"))
    calm_down(inbox)
    assert inbox.rows(COUNTS) == [("c-1", "done", 1, 0), ("c-1", "new", 2, 2)]
    assert inbox.rows("select version, changed = counted from inbox.client") == [(1, True)]
    inbox.rows("delete from inbox.message where folder = 'done'")
    inbox.publish(dirty("c-1", 1))
    calm_down(inbox)
    assert inbox.rows(COUNTS) == [("c-1", "new", 2, 2)]
    assert versions(inbox) == {"c-1": 2}


def test_bursts_of_many_clients_are_two_recomputes_each_at_most(inbox: Stage) -> None:
    clients, bursts = [f"c-{n}" for n in range(max(CHANGES // 100, 3))], 3
    seen: list[dict[str, int]] = []
    for burst in range(bursts):
        for client in clients:
            receive(inbox, client)
        share = CHANGES // bursts
        inbox.publisher.publish_many(
            [dirty(clients[n % len(clients)], burst * share + n) for n in range(share)]
        )
        inbox.drain(timedelta(seconds=120))
        inbox.clock.advance(timedelta(seconds=11))
        inbox.drain(timedelta(seconds=120))
        inbox.clock.advance(timedelta(seconds=11))
        inbox.drain(timedelta(seconds=120))
        seen.append(versions(inbox))
    assert inbox.rows(COUNTS) == sorted((client, "new", bursts, bursts) for client in clients)
    [(recomputed,)] = inbox.rows(OF_JOB, ("completed",))
    assert len(clients) * bursts <= recomputed <= 2 * len(clients) * bursts
    for client in clients:
        assert [found[client] for found in seen] == sorted({found[client] for found in seen}), "versions grow"
    assert inbox.rows("select count(*) from inbox.client where changed > counted") == [(0,)]


def test_the_same_request_twice_is_one_recompute(inbox: Stage) -> None:
    for source in ("web", "cron"):
        inbox.publish(InboxCountsRecompute(client_id="c-1", request_id="r-1", source=source))
    inbox.drain()
    assert versions(inbox) == {"c-1": 1}
    assert inbox.rows(OF_JOB, ("skipped",)) == [(1,)]


def test_a_transient_failure_is_tried_again_and_told_while_it_lasts(inbox: Stage) -> None:
    receive(inbox, "c-1")
    inbox.rows("alter table inbox.count rename to count_gone")
    inbox.publish(InboxCountsRecompute(client_id="c-1", request_id="r-1", source="test"))
    inbox.drain()
    told = status(inbox)
    # The first wait is under a second, which a slow machine needs to look.
    assert (told.status, told.finished_at) == ("retrying", None)
    [(tried,)] = inbox.rows("select count(*) from attempt")
    assert told.attempt == tried >= 1
    assert told.last_error is not None and "UndefinedTable" in told.last_error
    inbox.rows("alter table inbox.count_gone rename to count")
    inbox.clock.advance(timedelta(seconds=31))
    inbox.drain()
    told = status(inbox)
    assert (told.status, told.attempt) == ("completed", tried + 1)
    assert told.started_at is not None and told.duration_ms is not None and told.duration_ms >= 0
    assert versions(inbox) == {"c-1": 1}


def status(play: Stage) -> store.JobStatus:
    with play.database.once("test") as connection:
        found = store.latest_status(connection, "c-1", JOB)
        assert store.latest_status(connection, "nobody", JOB) is None
    assert found is not None
    return found


def test_what_fails_for_good_is_told_as_failed(inbox: Stage) -> None:
    inbox.rows("alter table inbox.count rename to count_gone")
    inbox.publish(InboxCountsRecompute(client_id="c-1", request_id="r-1", source="test"))
    for _ in range(5):
        inbox.drain()
        inbox.clock.advance(timedelta(seconds=31))
    inbox.drain()
    told = status(inbox)
    assert (told.status, told.attempt) == ("failed", 5) and told.finished_at is not None
    assert inbox.rows("select count(*) from dead_letter") == [(1,)]


def test_a_change_while_it_is_counted_leaves_the_client_dirty(inbox: Stage) -> None:
    with inbox.database.once("test") as connection:
        with connection.transaction():
            counted = store.recount(connection, "c-1")
        with connection.transaction():
            store.mark_dirty(connection, "c-1")
        with connection.transaction():
            assert store.clear_dirty(connection, "c-1", counted)
            assert not store.clear_dirty(connection, "c-1", counted + 1)


def test_the_sweep_finds_who_was_forgotten_and_only_publishes(inbox: Stage) -> None:
    receive(inbox, "c-1")
    inbox.rows(
        "insert into inbox.client (client_id, changed, changed_at) values ('c-1', 1, now() - interval '1 hour')"
    )
    assert sweep_every_five_minutes.kind is InboxSweepDue
    inbox.publish(InboxSweepDue())
    calm_down(inbox)
    assert inbox.rows(COUNTS) == [("c-1", "new", 1, 1)]
    assert inbox.rows("select changed = counted from inbox.client") == [(True,)]


@pytest.mark.parametrize(("enabled", "refreshes"), [("0", 1), ("1", 2)])
def test_aggregates_are_refreshed_where_it_is_on_or_they_are_old(
    inbox: Stage, monkeypatch: pytest.MonkeyPatch, enabled: str, refreshes: int
) -> None:
    monkeypatch.setenv("CALLBOARD_INBOX_ANALYTICS", enabled)
    providers.forget()
    for n in range(2):
        inbox.publish(AnalyticsAggregatesRecompute(client_id="c-1", request_id=str(n), source="test"))
        inbox.drain()
    assert inbox.rows("select version from inbox.aggregate") == [(refreshes,)]
    inbox.clock.advance(timedelta(hours=2))
    inbox.publish(AnalyticsAggregatesRecompute(client_id="c-1", request_id="late", source="test"))
    inbox.drain()
    assert inbox.rows("select version from inbox.aggregate") == [(refreshes + 1,)]
    providers.forget()


@pytest.mark.parametrize(("evented", "answer"), [("0", 200), ("1", 202)])
def test_one_setting_chooses_between_now_and_a_worker(
    inbox: Stage, monkeypatch: pytest.MonkeyPatch, evented: str, answer: int
) -> None:
    monkeypatch.setenv("CALLBOARD_INBOX_EVENTED", evented)
    providers.forget()
    receive(inbox, "c-1")
    asked = BackgroundProcessRequested(client_id="c-1", request_id="r-1", source="web")
    with inbox.database.once("web") as connection, connection.transaction():
        assert background.requested(connection, inbox.publisher, asked) == answer
    inbox.drain()
    providers.forget()
    assert inbox.rows(COUNTS) == [("c-1", "new", 1, 1)]
    assert inbox.rows("select count(*) from run where actor = 'inbox.process'") == [(int(evented),)]


@pytest.mark.parametrize(
    "kind", [InboxCountsDirty, InboxCountsRecompute, AnalyticsAggregatesRecompute, BackgroundProcessRequested]
)
def test_what_applications_send_is_understood(kind: type[Event]) -> None:
    sent: dict[str, Any] = {"clientId": "c-1", "requestId": "r-1", "source": "web", "priority": 5}
    found = kind.model_validate(sent)
    assert found.model_dump() == {"client_id": "c-1", "request_id": "r-1", "source": "web", "priority": 5}
    assert (
        kind.model_validate({key: sent[key] for key in sent if key != "priority"}).model_dump()["priority"]
        == 0
    )


def test_quiet_time_and_numbers_at_once_are_settings() -> None:
    told = imported(QUIET="5", LONGEST_WAIT="60", RECOMPUTES_AT_ONCE="9", SAME_REQUEST="120")

    assert "wait=datetime.timedelta(seconds=5)" in told and "max_wait=datetime.timedelta(seconds=60)" in told
    assert "Concurrency(limit=9" in told and "ttl=datetime.timedelta(seconds=120)" in told
    assert "shorter than the quiet time" in imported(QUIET="5", LONGEST_WAIT="1")


def imported(**settings: str) -> str:
    """The policies of two actors, or what is said of settings that make no sense."""
    program = (
        "from actors.inbox.collect import collect; from actors.inbox.recompute import recompute;"
        "print(collect.policies, recompute.policies)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=HOUSE, capture_output=True, text=True, check=False,
        env={**os.environ, **{f"CALLBOARD_INBOX_{name}": value for name, value in settings.items()}},
    )  # fmt: skip
    return done.stdout or done.stderr
