"""Pages from the request to the recommendations, on a whole engine."""

import json
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from actors.notifications.notify import notify
from actors.pages import providers
from actors.pages.analyze import analyze
from actors.pages.fail import fail
from actors.pages.model_analyser import ModelAnalyser
from actors.pages.scan import scan
from broker import dead_letters
from broker.reopen import Again
from broker.testing import Stage
from schemas.pages import PageAnalyzeRequested, PageScanRequested, ScannedPage
from tests.actors.stages import stage
from tests.support.web import Call, Web

PAGE = """<html lang="en"><head><title>A garden of our own in the city</title><meta name="description" content="Growing">
<meta name="keywords" content="garden, city"></head><body><h1>Garden</h1><img src="/a.png"><a href="/b">More</a></body></html>"""

HOUSE = (scan, analyze, fail, notify)


def requested(url: str, user_id: str = "ada") -> PageScanRequested:
    return PageScanRequested.model_validate({"page_id": uuid4(), "url": url, "user_id": user_id})


def statuses(stage: Stage, page_id: UUID) -> list[tuple[str, str | None]]:
    return stage.rows("select status, reason from pages.page where id = %s", [page_id])


def told(stage: Stage) -> list[tuple[str, str]]:
    return stage.rows("select title, type from notifications.notification order by created_at, title")


def test_a_page_is_scanned_analysed_and_its_user_told(dsn: str, open_web: Web) -> None:
    open_web.routes["/"] = lambda call: call.page(PAGE)
    event = requested(open_web.url())

    with stage(dsn, *HOUSE) as play:
        play.publish(event)
        play.drain()

        [(status, title, keywords, length, links, scanned)] = play.rows(
            "select status, title, meta_keywords, html_length, links, scanned_at is not null from pages.page"
        )
        assert (status, title, keywords, length) == (
            "completed",
            "A garden of our own in the city",
            "garden, city",
            len(PAGE),
        )
        assert (links[0]["href"], scanned) == (open_web.url("/b"), True)
        keys = [key for (key,) in play.rows("select key from pages.recommendation")]
        assert {"description-short", "images-without-alt"} <= set(keys)
        assert sorted(told(play)) == [("Analysis Complete", "success"), ("Scan Complete", "success")]
        [(message,)] = play.rows(
            "select message from notifications.notification where title = 'Analysis Complete'"
        )
        assert message == f"There are {len(keys)} recommendations for {event.url}."
        assert play.rows("select distinct name from step order by name") == [
            ("fetch-and-parse",),
            ("fetch-prompt",),
            ("run-analysis",),
        ]


def test_a_request_that_comes_twice_is_one_scan(dsn: str, open_web: Web) -> None:
    open_web.routes["/"] = lambda call: call.page(PAGE)
    event = requested(open_web.url())

    with stage(dsn, *HOUSE) as play:
        for _ in range(2):
            play.publish(event, id="the-same")
        play.drain()

        assert open_web.paths == ["/"]
        assert len(told(play)) == 2


def test_a_second_analysis_replaces_the_advice_of_the_first(dsn: str) -> None:
    event = PageAnalyzeRequested.model_validate(
        {
            "pageId": uuid4(),
            "url": "https://example.com/",
            "userId": "ada",
            "scanData": {"htmlLength": 10, "images": [{"src": "/a.png"}]},
        }
    )

    with stage(dsn, *HOUSE) as play:
        play.publish(event)
        play.drain()
        before = dict(play.rows("select key, id from pages.recommendation"))
        scan = event.scan.model_copy(update={"images": (), "title": "A garden of our own"})
        play.publish(event.model_copy(update={"scan": scan}))
        play.drain()
        after = dict(play.rows("select key, id from pages.recommendation"))
        told = play.rows("select channel, data from broadcast where name = 'analysis-complete' order by id")

    assert told == [
        (
            f"page-{event.page_id}",
            {"page_id": str(event.page_id), "recommendation_count": len(keys), "status": "complete"},
        )
        for keys in (before, after)
    ]
    assert {"images-without-alt", "title-missing"} <= before.keys() - after.keys()
    assert after == {key: id for key, id in before.items() if key in after}


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/latest/meta-data", "http://2130706433/", "http://[::1]/"]
)
def test_an_address_that_is_never_called_fails_the_page_at_once(dsn: str, url: str) -> None:
    event = requested(url)

    with stage(dsn, *HOUSE) as play:
        play.publish(event)
        play.drain()

        [(status, reason)] = statuses(play, event.page_id)
        assert status == "failed"
        assert reason is not None
        assert "NonRetriable" in reason
        assert play.rows("select attempt from run where actor = 'pages.scan'") == [(1,)]
        assert told(play) == [("Scan Failed", "error")]


@pytest.mark.parametrize("kind", ["application/pdf", "image/png"])
def test_what_is_no_page_is_not_tried_again(dsn: str, open_web: Web, kind: str) -> None:
    open_web.routes["/"] = lambda call: call.answer(200, b"%PDF", content_type=kind)
    event = requested(open_web.url())

    with stage(dsn, *HOUSE) as play:
        play.publish(event)
        play.drain()

        assert open_web.paths == ["/"]
        assert statuses(play, event.page_id)[0][0] == "failed"


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_says_when_to_come_back_is_left_alone_until_then(
    dsn: str, open_web: Web, status: int
) -> None:
    def busy_once(call: Call) -> None:
        call.page(PAGE) if len(open_web.requests) > 1 else call.answer(status, retry_after="600")

    open_web.routes["/"] = busy_once
    event = requested(open_web.url())

    with stage(dsn, *HOUSE) as play:
        play.publish(event)
        play.drain()
        play.clock.advance(timedelta(minutes=9))
        play.drain()
        assert open_web.paths == ["/"]

        play.clock.advance(timedelta(minutes=2))
        play.drain()
        assert open_web.paths == ["/", "/"]
        assert statuses(play, event.page_id) == [("completed", None)]


def test_no_header_keeps_a_page_pending_for_longer_than_an_hour(dsn: str, open_web: Web) -> None:
    open_web.routes["/"] = lambda call: call.answer(503, retry_after="99999999")

    with stage(dsn, *HOUSE) as play:
        play.publish(requested(open_web.url()))
        play.drain()

        [(delay,)] = play.rows("select delay from attempt")
        assert delay == timedelta(hours=1)


def test_a_page_that_fails_three_times_is_failed_and_whole_again_after_a_replay(
    dsn: str, open_web: Web
) -> None:
    open_web.routes["/"] = lambda call: call.answer(500)
    event = requested(open_web.url())

    with stage(dsn, *HOUSE) as play:
        play.publish(event)
        for _ in range(3):
            play.drain()
            play.clock.advance(timedelta(minutes=2))
        play.drain()
        assert open_web.paths == ["/"] * 3
        assert statuses(play, event.page_id)[0][0] == "failed"

        open_web.routes["/"] = lambda call: call.page(PAGE)
        with play.database.once("replay") as connection:
            [(letter,)] = connection.execute("select id from dead_letter").fetchall()
            assert dead_letters.replay(connection, [letter], Again("tester")) == [letter]
        play.drain()
        assert statuses(play, event.page_id) == [("completed", None)]


def test_starts_of_one_user_are_spread_and_those_of_another_are_not(dsn: str, open_web: Web) -> None:
    open_web.routes["/"] = lambda call: call.page(PAGE)

    with stage(dsn, *HOUSE) as play:
        for _ in range(3):
            play.publish(requested(open_web.url(), "ada"))
        play.publish(requested(open_web.url(), "bea"))
        play.drain()
        assert len(open_web.paths) == 2

        play.clock.advance(timedelta(seconds=6))
        play.drain()
        assert len(open_web.paths) == 3


def test_an_analysis_without_an_active_prompt_is_a_dead_letter_that_says_so(dsn: str) -> None:
    event = PageAnalyzeRequested.model_validate(
        {
            "page_id": uuid4(),
            "url": "https://example.com/",
            "user_id": "ada",
            "scan": ScannedPage(html_length=1),
        }
    )

    with stage(dsn, *HOUSE) as play:
        with play.database.once("test") as connection:
            connection.execute("update pages.prompt_template set active = false")
        play.publish(event)
        play.drain()

        [(error,)] = play.rows("select error from dead_letter")
        assert "prompt_template" in error
        assert told(play) == [("Analysis Failed", "error")]
        assert statuses(play, event.page_id) == []


def test_a_configured_model_is_asked_with_the_active_prompt(
    dsn: str, open_web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    advice = '[{"title":"Say more","description":"…","priority":"high","category":"content"}]'
    answer = json.dumps({"choices": [{"message": {"content": advice}}]})

    def busy_once(call: Call) -> None:
        if len(open_web.requests) == 1:
            return call.answer(429, retry_after="30")
        return call.answer(200, answer, content_type="application/json")

    open_web.routes["/v1/chat/completions"] = busy_once
    monkeypatch.setenv("CALLBOARD_PAGES_MODEL_URL", open_web.url("/v1"))
    providers.forget()
    assert isinstance(providers.analyser(), ModelAnalyser)
    event = PageAnalyzeRequested.model_validate(
        {
            "page_id": uuid4(),
            "url": "https://example.com/garden",
            "user_id": "ada",
            "scan": ScannedPage(html_length=1),
        }
    )

    with stage(dsn, *HOUSE) as play:
        play.publish(event)
        play.drain()
        play.clock.advance(timedelta(seconds=31))
        play.drain()

        assert "https://example.com/garden" in open_web.requests[1].body.decode()
        assert play.rows("select key, priority, category from pages.recommendation") == [
            ("say-more", "high", "content")
        ]
