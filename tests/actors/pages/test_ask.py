"""A web asks for scans: row and event together or neither, and an answer for each case."""

import asyncio
from collections.abc import Iterator
from uuid import UUID

import httpx
import pytest
from starlette.applications import Starlette

from actors.pages.ask import NOT_QUEUED, ask_for_scan
from actors.pages.scan import scan
from broker import Publisher
from broker.database import Database
from broker.testing import Stage
from broker.transports.postgres import PostgresTransport
from ops.demo_site.scan_route import scan_route
from ops.embedded.process import free_port
from tests.actors.stages import stage
from tests.support.web import Web

PROJECT = UUID("b6e0fbd5-5f5e-4f8a-9a53-7d6ff4c8a001")
PAGES = "select id, user_id, project_id, status, title from pages.page"


@pytest.fixture
def play(dsn: str) -> Iterator[Stage]:
    with stage(dsn, scan) as play:
        yield play


@pytest.fixture
def publisher(play: Stage) -> Publisher:
    return Publisher(PostgresTransport(play.database), "web", play.database)


def post(play: Stage, publisher: Publisher, body: object, **headers: str) -> httpx.Response:
    """To an application whose session is a header, `user`."""
    app = Starlette(
        routes=[scan_route(play.database, publisher, lambda request: request.headers.get("user"))]
    )

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://web") as client:
            return await client.post(f"/projects/{PROJECT}/scan", json=body, headers=headers)

    return asyncio.run(ask())


def test_a_page_that_a_user_asked_for_is_there_at_once_and_then_scanned(
    play: Stage, publisher: Publisher, open_web: Web
) -> None:
    open_web.routes["/"] = lambda call: call.page("<title>Here</title><h1>Here</h1>")
    url = open_web.url("/")

    answer = post(play, publisher, {"url": url}, user="ada")

    assert (answer.status_code, answer.json()["message"]) == (202, "Scan queued")
    page = UUID(answer.json()["page_id"])
    assert play.rows(PAGES) == [(page, "ada", PROJECT, "pending", None)]
    play.drain()
    assert play.rows(PAGES) == [(page, "ada", PROJECT, "completed", "Here")]


def test_the_plain_function_says_success_or_error_and_asks_for_the_same_page_again(
    play: Stage, publisher: Publisher
) -> None:
    asked = [
        ask_for_scan(play.database, publisher, PROJECT, "ada", url)
        for url in ("https://example.com/", "https://example.com/", "no address")
    ]
    assert [each.success for each in asked] == [True, True, False]
    assert asked[0].page_id == asked[1].page_id
    assert asked[2].error == "that is no web address"
    assert len(play.rows(PAGES)) == 1


@pytest.mark.parametrize(
    ("headers", "body", "status", "error"),
    [
        ({}, {"url": "https://example.com/"}, 401, "sign in first"),
        ({"user": "ada"}, {"url": "file:///etc/passwd"}, 422, "that is no web address"),
        ({"user": "ada"}, {}, 422, "that is no web address"),
        ({"user": "ada"}, [1], 422, "that is no web address"),
    ],
)
def test_who_may_not_or_asks_for_nothing_changes_nothing(
    headers: dict[str, str], body: object, status: int, error: str, play: Stage, publisher: Publisher
) -> None:
    answer = post(play, publisher, body, **headers)

    assert (answer.status_code, answer.json()) == (status, {"error": error})
    assert play.rows(PAGES) == []


def test_what_cannot_be_queued_says_so_and_leaves_no_row(play: Stage, publisher: Publisher) -> None:
    """The outbox is not there: the row that was inserted before goes with it."""
    with play.database.once("test") as connection:
        connection.execute("alter table outbox rename to gone")
    answer = post(play, publisher, {"url": "https://example.com/"}, user="ada")
    assert (answer.status_code, answer.json()) == (500, {"error": NOT_QUEUED})
    assert play.rows(PAGES) == []

    away = Database(f"postgresql://127.0.0.1:{free_port()}/nowhere")
    assert not ask_for_scan(away, publisher, PROJECT, "ada", "https://example.com/").success
