"""The status page over real HTTP on a real database: what it shows, what it never shows, and that it is live."""

import socket
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from broker import Backoff, Run, Settings, actor
from broker.dead_letters import Filter, open_letters, replay
from broker.errors import CallboardError
from broker.history import list_runs
from broker.reopen import Again
from broker.testing import Stage
from ops.web.server import serving
from schemas import Event

TWICE = Backoff(timedelta(minutes=1), timedelta(minutes=1), attempts=2, jitter="none")


class KettleFilled(Event, type="kettle.filled"):
    tea: str


class KettleBoiled(Event, type="kettle.boiled"):
    tea: str


@actor(retry=TWICE)
def boil(event: KettleFilled, run: Run) -> KettleBoiled:
    run.step("heat", str, event.tea)
    if event.tea == "stone":
        raise ValueError("<script>alert('stones do not steep')</script>")
    return KettleBoiled(tea=event.tea)


@actor()
def pour(event: KettleBoiled, run: Run) -> None:
    pass


@pytest.fixture
def stage(dsn: str) -> Iterator[Stage]:
    with Stage(dsn, [boil, pour]) as made:
        yield made


@pytest.fixture
def browser(stage: Stage) -> Iterator[httpx.Client]:
    with (
        serving(stage.settings) as page,
        httpx.Client(base_url=page, timeout=20, headers={"accept": "text/html"}) as client,
    ):
        yield client


def test_runs_are_listed_filtered_and_paged(browser: httpx.Client, stage: Stage) -> None:
    assert "No runs yet" in browser.get("/").text
    for number in range(30):
        stage.publish(KettleFilled(tea=f"secret-{number}"))
    stage.drain()

    first = browser.get("/").text
    with stage.database.once("test") as connection:
        runs = list_runs(connection, limit=100)

    assert first.count('href="/runs/') == 50
    assert f"before={runs[49].id}" in first
    assert browser.get("/", params={"before": str(runs[49].id)}).text.count('href="/runs/') == 10
    only = browser.get("/", params={"actor": "test_web.pour", "status": "completed"}).text
    assert only.count('href="/runs/') == 30
    assert "kettle.boiled" in only and "kettle.filled" not in only
    assert "No runs like that" in browser.get("/", params={"status": "failed"}).text
    assert "secret" not in first


def test_a_run_is_shown_with_its_whole_chain(browser: httpx.Client, stage: Stage) -> None:
    event = stage.publish(KettleFilled(tea="secret"))
    stage.drain()
    with stage.database.once("test") as connection:
        [run] = list_runs(connection, actor="test_web.pour")

    shown = browser.get(f"/runs/{run.id}").text

    assert all(part in shown for part in ("test_web.boil", "heat", "test_web.pour", event))
    assert shown.index("test_web.boil") < shown.index("heat") < shown.index("test_web.pour")
    assert '<tr class="run asked">' in browser.get(f"/runs/{event}").text
    assert "secret" not in shown


def test_errors_are_told_as_text_with_the_wait_and_the_dead_letter(
    browser: httpx.Client, stage: Stage
) -> None:
    event = stage.publish(KettleFilled(tea="stone"))
    stage.drain()

    waiting = browser.get(f"/runs/{event}").text
    assert "retry after 1 min" in waiting
    assert '<rect class="wait"' in waiting
    assert "&lt;script&gt;alert(" in waiting and "<script>alert" not in waiting

    stage.clock.advance(timedelta(minutes=2))
    stage.drain()
    assert "attempts used up: callboard dead show" in browser.get(f"/runs/{event}").text

    with stage.database.once("test") as connection:
        replay(connection, open_letters(connection, Filter()), Again("tester"))
    stage.drain()
    replayed = browser.get(f"/runs/{event}").text
    assert "attempt 1, replay 1" in replayed
    assert "replayed 1 time(s)" in replayed


def test_what_is_not_there_and_what_cannot_be_asked_is_said(browser: httpx.Client) -> None:
    for path, code in (
        ("/runs/nothing<b>", 404),
        ("/runs/%00", 404),
        ("/nowhere", 404),
        ("/?status=done", 400),
        ("/?before=x", 400),
        ("/?actor=%00", 400),
    ):
        answer = browser.get(path)
        assert answer.status_code == code, path
        assert 'class="fault"' in answer.text
        assert "<b>" not in answer.text
    assert browser.post("/").status_code == 405


def test_only_names_of_this_machine_are_answered_and_nothing_from_elsewhere_is_loaded(
    browser: httpx.Client,
) -> None:
    assert browser.get("/", headers={"host": "evil.example"}).status_code == 400
    answer = browser.get("/")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "://" not in answer.text
    assert [browser.get(f"/static/page.{kind}").status_code for kind in ("css", "js")] == [200, 200]


def test_an_event_arrives_on_a_page_that_is_open_and_the_server_stops_under_it(stage: Stage) -> None:
    with serving(stage.settings) as page, httpx.Client(base_url=page, timeout=20) as client:
        with client.stream("GET", "/live", params={"status": "completed"}) as stream:
            lines = stream.iter_lines()
            assert any("No runs like that" in line for line in lines)
            event = stage.publish(KettleFilled(tea="green"))
            assert any("kettle.boiled" in line for line in lines)
        with client.stream("GET", f"/runs/{event}/live") as stream:
            assert any("test_web.pour" in line for line in stream.iter_lines())
        open_still = client.send(client.build_request("GET", "/live"), stream=True)
    open_still.close()


def test_a_database_that_is_away_is_told_without_its_password() -> None:
    away = Settings(database_url="postgresql://me:secret@127.0.0.1:1/shop")  # type: ignore[arg-type]
    with serving(away) as page:
        answer = httpx.get(page)
    assert answer.status_code == 503
    assert "PostgreSQL at 127.0.0.1:1/shop cannot be used" in answer.text
    assert "secret" not in answer.text


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(settings: Settings) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(CallboardError, match="choose another with --port"),
        serving(settings, port=taken.getsockname()[1]),
    ):
        pass
