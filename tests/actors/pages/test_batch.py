"""Batches: two hundred addresses, broken, refused and gone ones among them, end with right counts, whatever happens."""

import os
import signal
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from actors.notifications.notify import notify
from actors.pages.analyze import analyze
from actors.pages.fail import fail
from actors.pages.scan import scan
from actors.pages.scan_project import scan_project
from actors.pages.track import track
from broker import dead_letters
from broker.reopen import Again
from broker.testing import Stage
from broker.testing.clock import VirtualClock
from schemas.pages import ProjectBatchScanRequested
from tests.actors.pages.test_page_actors import PAGE
from tests.actors.stages import stage
from tests.end_to_end.conftest import amqp_url, on_either, site, transport_url
from tests.support.installation import Installation
from tests.support.waiting import eventually
from tests.support.web import Web, serving

__all__ = ["amqp_url", "on_either", "site", "transport_url"]

HOUSE = (scan_project, scan, track, analyze, fail, notify)
PAGES = int(os.environ.get("CALLBOARD_TEST_PAGES", "40"))
"""The aim is 200: tried so, and as many as a test of every change has the time for."""
TURN = timedelta(seconds=6)
"""The throttle lets ten a minute start."""
BROKEN, REFUSED, GONE = "no address", "http://10.0.0.1/", "/gone"


def asked(urls: list[str]) -> ProjectBatchScanRequested:
    return ProjectBatchScanRequested(project_id=uuid4(), user_id="ada", urls=tuple(urls))


def addresses(web: Web, count: int) -> list[str]:
    """A tenth broken, a tenth refused, a tenth gone; the first one twice."""
    urls = [web.url(f"/page/{n}") for n in range(count)]
    for place in range(0, count, 10):
        urls[place] = f"{BROKEN} {place}"
        urls[place + 1] = f"{REFUSED}{place}"
        urls[place + 2] = web.url(f"{GONE}/{place}")
    return [*urls, urls[3]]


def serve_pages(web: Web) -> None:
    web.otherwise = lambda call: call.page(PAGE) if "/page/" in call.path else call.answer(410)


def play_out(play: Stage, turns: int) -> None:
    for _ in range(turns):
        play.clock.advance(TURN)
        play.drain()


def counts(play: Stage) -> list[tuple[str | None, int]]:
    return play.rows("select outcome, count(*)::int from pages.batch_page group by 1 order by 1")


def test_a_batch_of_all_kinds_of_addresses_ends_with_right_counts(dsn: str, open_web: Web) -> None:
    serve_pages(open_web)
    event = asked(addresses(open_web, PAGES))
    good, bad = PAGES * 7 // 10, PAGES * 3 // 10
    known = "select count(*) from pages.page where project_id = %s"
    with stage(dsn, *HOUSE) as play:
        play.publish(event)
        eventually(lambda: play.rows(known, [event.project_id]) == [(PAGES,)])
        play_out(play, PAGES * 9 // 10 + 10)
        assert counts(play) == [("completed", good), ("failed", bad)]
        pages = play.rows("select status, count(*)::int from pages.page group by 1 order by 1")
        assert pages == [("completed", good), ("failed", bad)]
        assert play.rows("select count(*) from pages.batch where finished_at is not null") == [(1,)]
        updates = play.rows(
            "select (body->>'done')::int, (body->>'failed')::int, body->>'status' from ("
            "select convert_from(body, 'utf8')::jsonb as body from dead_letter where event_type = 'batch.progress.updated'"
            ") u order by (body->>'done')::int + (body->>'failed')::int, 3 desc"
        )
        assert len(updates) > 10 and updates[-1] == (good, bad, "completed")
        assert {status for done, failed, status in updates if done + failed < PAGES} == {"in-progress"}
        told = play.rows(
            "select message, type from notifications.notification where title = 'Batch Complete'"
        )
        assert told == [(f"{good} of {PAGES} pages were scanned, {bad} could not be.", "success")]


def test_a_batch_without_one_good_address_ends_too(dsn: str) -> None:
    with stage(dsn, *HOUSE) as play:
        play.publish(asked(["nothing", "http://", "nothing"]))
        play_out(play, 4)
        assert counts(play) == [("failed", 2)]
        assert play.rows("select type from notifications.notification") == [("error",)]


def test_a_page_that_is_replayed_well_counts_as_completed_and_the_end_is_told_once(
    dsn: str, open_web: Web
) -> None:
    open_web.otherwise = lambda call: call.answer(410)
    with stage(dsn, *HOUSE) as play:
        play.publish(asked([open_web.url("/page/1")]))
        play_out(play, 4)
        assert counts(play) == [("failed", 1)]
        serve_pages(open_web)
        with play.database.once("test") as connection:
            letters = dead_letters.open_letters(connection, dead_letters.Filter(actor="pages.scan"))
            dead_letters.replay(connection, letters, Again("ada"))
        play_out(play, 4)
        assert counts(play) == [("completed", 1)]
        assert play.rows(
            "select count(*) from notifications.notification where title = 'Batch Complete'"
        ) == [(1,)]


@pytest.mark.end_to_end
def test_a_batch_outlives_kill_9_of_its_worker(on_either: Installation, tmp_path: Path) -> None:
    with serving() as web:
        serve_pages(web)
        host = web.url().split("/")[2]
        callboard = on_either.but(CALLBOARD_PAGES_ALLOWED_HOSTS=host)
        clock = VirtualClock(callboard.database)
        project_id = uuid4()
        with callboard.workers(2) as workers:
            callboard.publish(
                "project.batch_scan.requested",
                project_id=str(project_id),
                user_id="ada",
                urls=addresses(web, 20),
            )
            eventually(
                lambda: callboard.one("select count(*) from pages.batch_page where outcome = 'completed'"), 60
            )
            os.kill(next(iter(workers.pids())), signal.SIGKILL)

            def over() -> bool:
                clock.advance(timedelta(seconds=6))
                return bool(callboard.one("select count(*) from pages.batch where finished_at is not null"))

            eventually(over, 90, every=0.3)
            outcomes = "select outcome, count(*)::int from pages.batch_page group by 1 order by 1"
            assert callboard.rows(outcomes) == [("completed", 14), ("failed", 6)]
            done = "select count(*) from notifications.notification where title = 'Batch Complete'"
            eventually(lambda: callboard.one(done) == 1, 60)
            unfinished = "select count(*) from run where finished_at is null"

            def quiet() -> bool:
                clock.advance(timedelta(seconds=6))
                return bool(callboard.one(unfinished) == 0)

            eventually(quiet, 60, every=0.3)
            assert callboard.one(done) == 1
            twice = "select count(*) from (select page_id, key from pages.recommendation group by 1, 2 having count(*) > 1) t"
            assert callboard.one(twice) == 0
            assert UUID(str(callboard.one("select project_id from pages.batch"))) == project_id
