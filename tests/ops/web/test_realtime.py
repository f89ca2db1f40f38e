"""Listening over real HTTP to what real runs broadcast."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from broker import ConfigurationError, Settings, realtime_token
from broker.database import Database
from broker.realtime import rows
from broker.testing import Stage
from ops.web.realtime import hub, stream
from ops.web.server import STOP_LIMIT, serving
from tests.ops.conftest import Cli
from tests.ops.web.conftest import Serve
from tests.support import town_cast
from tests.support.listening import listening
from tests.support.town_cast import SQUARE, TownCalled, TownWhispered
from tests.support.waiting import eventually

SECRET = "a secret that is long enough to be one"
OTHER = "another secret that is just as long as that"
_TELL = """
insert into broadcast (channel, name, data, run_id, rerun, place, created_at)
values (%s, 'told', %s, gen_random_uuid(), 0, 0, clock())"""


@pytest.fixture
def stage(dsn: str) -> Iterator[Stage]:
    with Stage(dsn, town_cast.ACTORS) as made:
        yield made


@pytest.fixture
def settings(stage: Stage) -> Settings:
    return with_secret(stage.settings, SECRET)


@pytest.fixture
def page(settings: Settings, serve: Serve) -> str:
    return serve(settings)


def with_secret(settings: Settings, secret: str, **others: object) -> Settings:
    return settings.model_copy(update={"realtime_secret": SecretStr(secret), **others})


def tell(connection: psycopg.Connection, n: int, channel: str = SQUARE, filler: str = "") -> None:
    """As a run's commit does."""
    connection.execute(_TELL.encode(), (channel, json.dumps({"n": n, "filler": filler})))


def token(settings: Settings, *channels: str, lasts: timedelta = timedelta(hours=1)) -> str:
    return realtime_token(*(channels or (SQUARE,)), lasts=lasts, settings=settings)


def test_what_runs_broadcast_is_told_to_those_who_listen_to_its_channel(
    page: str, stage: Stage, settings: Settings
) -> None:
    with (
        listening(page, SQUARE, token(settings)) as ear,
        listening(page, "corner-7", token(settings, "corner-7")) as corner,
    ):
        ear.ready()
        corner.ready()
        stage.publish(TownCalled(n=7))

        cried, plain, settled = ear.hear(3)
        [whispered] = corner.hear()

    assert (cried.name, cried.data) == ("cried", {"n": 7, "attempt": 1, "part": 1})
    assert (plain.name, plain.data["part"], settled.name) == ("message", 2, "settled")
    assert int(cried.id) < int(plain.id) < int(settled.id)
    assert (whispered.name, whispered.data) == ("town.whispered", {"n": 7})


@pytest.mark.parametrize(
    "channel", ["user-auth0|5f", "user-a/b c", "user-ölaf@example.com+x", "user-50%2F?#&"]
)
def test_a_channel_may_be_named_after_any_id(
    page: str, stage: Stage, settings: Settings, channel: str
) -> None:
    with listening(page, channel, token(settings, channel)) as ear, stage.database.once("test") as connection:
        ear.ready()
        tell(connection, 1, channel=channel)
        assert ear.hear()[0].data["n"] == 1


def test_a_listener_that_comes_back_misses_nothing_and_hears_nothing_twice(
    page: str, stage: Stage, settings: Settings
) -> None:
    """Four commit at once, out of order, while it comes and goes, on this server and on another one."""
    total, heard, last = 1200, list[int](), ""

    def talk(first: int) -> None:
        with stage.database.connect("test", autocommit=False) as connection:
            for n in range(first, total, 4):
                tell(connection, n)
                tell(connection, n, channel="elsewhere")
                if n % 3 == 0:
                    connection.commit()
            connection.commit()

    with serving(settings) as other:
        with listening(page, SQUARE, token(settings)) as ear:
            ear.ready()
            last = ear.id
        talkers = [threading.Thread(target=talk, args=(first,)) for first in range(4)]
        for talker in talkers:
            talker.start()
        turn = 0
        while len(heard) < total:
            turn += 1
            with listening((page, other)[turn % 2], SQUARE, token(settings), last) as ear:
                heard += [each.data["n"] for each in ear.hear(min(97, total - len(heard)))]
                last = ear.id
        for talker in talkers:
            talker.join()

    assert sorted(heard) == list(range(total))


def test_a_broadcast_that_commits_late_is_told_late_and_not_lost(
    page: str, stage: Stage, settings: Settings
) -> None:
    """Its row took its id first: whoever follows ids would have gone past it."""
    with (
        listening(page, SQUARE, token(settings)) as ear,
        stage.database.connect("test", autocommit=False) as slow,
    ):
        ear.ready()
        tell(slow, 1)
        with stage.database.once("test") as quick:
            tell(quick, 2)
        assert ear.hear()[0].data["n"] == 2
        slow.commit()
        assert ear.hear()[0].data["n"] == 1


def test_who_was_away_for_too_long_is_told_that_something_is_missing(
    page: str, stage: Stage, settings: Settings
) -> None:
    with stage.database.once("test") as connection:
        with listening(page, SQUARE, token(settings)) as ear:
            ear.ready()
            tell(connection, 1)
            first = ear.hear()[0].id
            tell(connection, 2)
            tell(connection, 3)
            ear.hear(2)
        connection.execute("delete from broadcast where data ->> 'n' <> '3'")
        with listening(page, SQUARE, token(settings), first) as ear:
            [gap] = ear.hear()
            ear.ready()
            tell(connection, 4)
            [now] = ear.hear()
        with listening(page, SQUARE, token(settings), "999999") as ear:
            assert ear.hear()[0].name == "callboard.gap"

    assert gap.name == "callboard.gap"
    assert now.data["n"] == 4


@pytest.mark.parametrize(
    ("made", "code", "word"),
    [
        ("", 401, "token_missing"),
        ("x", 401, "token_invalid"),
        ("é.é", 401, "token_invalid"),
        ("a" * 20_000, 401, "token_invalid"),
        ("other secret", 401, "token_invalid"),
        ("changed", 401, "token_invalid"),
        ("expired", 401, "token_expired"),
        ("other channel", 403, "token_channel"),
    ],
)
def test_a_wrong_token_is_told_apart_and_opens_nothing(
    page: str, settings: Settings, made: str, code: int, word: str
) -> None:
    right = token(settings)
    tokens = {
        "other secret": token(with_secret(settings, OTHER)),
        "changed": "e" + right[1:] if right[0] != "e" else "f" + right[1:],
        "expired": realtime_token(SQUARE, settings=settings, now=datetime.now(UTC) - timedelta(hours=2)),
        "other channel": token(settings, "corner-1", "corner-2"),
    }
    given = tokens.get(made, made)
    answer = httpx.get(f"{page}realtime/{SQUARE}", params={"token": given})

    assert (answer.status_code, answer.json()["error"]["type"]) == (code, word)
    assert "access-control-allow-origin" in answer.headers
    assert SECRET not in answer.text


def test_a_token_in_a_header_opens_too_and_head_opens_nothing(page: str, settings: Settings) -> None:
    headers = {"authorization": f"Bearer {token(settings)}"}
    with httpx.stream("GET", f"{page}realtime/{SQUARE}", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        assert next(answer.iter_lines()) == "retry: 1000"
    assert httpx.head(f"{page}realtime/{SQUARE}", headers=headers).status_code == 200
    wrong = httpx.get(f"{page}realtime/{SQUARE}", headers={**headers, "last-event-id": "-1 or 1=1"})
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (400, "last_event_id")


def test_a_secret_is_exchanged_without_locking_anybody_out(serve: Serve, settings: Settings) -> None:
    page = serve(with_secret(settings, f"{OTHER}, {SECRET}"))

    for made in (token(settings), token(with_secret(settings, OTHER))):
        with listening(page, SQUARE, made) as ear:
            ear.ready()


def test_without_a_secret_nobody_listens_and_the_setting_is_named(serve: Serve, stage: Stage) -> None:
    answer = httpx.get(f"{serve(stage.settings)}realtime/{SQUARE}?token=x")

    assert answer.status_code == 503
    assert "CALLBOARD_REALTIME_SECRET" in answer.json()["error"]["message"]
    with pytest.raises(ConfigurationError, match="CALLBOARD_REALTIME_SECRET is not set"):
        token(stage.settings)
    with pytest.raises(ConfigurationError, match="too short"):
        token(with_secret(stage.settings, "short"))
    with pytest.raises(ConfigurationError, match="no channel is named"):
        token(with_secret(stage.settings, SECRET), "a\nb")


def test_a_stream_ends_with_its_token(page: str, settings: Settings) -> None:
    began = time.monotonic()
    with listening(page, SQUARE, token(settings, lasts=timedelta(seconds=2))) as ear:
        last = ear.hear(2)

    assert [each.name for each in last] == ["callboard.expired"]
    assert time.monotonic() - began < 10


def test_silence_is_filled_with_comments(
    page: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert timedelta(seconds=15) == stream.HEARTBEAT
    monkeypatch.setattr(stream, "HEARTBEAT", timedelta(milliseconds=100))
    with listening(page, SQUARE, token(settings)) as ear:
        ear.ready()
        ear.silence()
        ear.silence()


def test_no_more_listen_than_may(serve: Serve, settings: Settings, stage: Stage) -> None:
    page = serve(with_secret(stage.settings, SECRET, realtime_listeners=2))
    address = f"{page}realtime/{SQUARE}?token={token(settings)}"

    with listening(page, SQUARE, token(settings)), listening(page, SQUARE, token(settings)):
        answer = httpx.get(address)
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "full")
        assert answer.headers["retry-after"] == "5"
    eventually(lambda: joins(page, token(settings)))


def joins(page: str, made: str) -> bool:
    with httpx.stream("GET", f"{page}realtime/{SQUARE}?token={made}") as answer:
        return answer.status_code == 200


def test_a_reader_that_does_not_read_is_dropped_and_takes_no_place(
    serve: Serve, settings: Settings, stage: Stage
) -> None:
    page = serve(with_secret(stage.settings, SECRET, realtime_listeners=1))
    host, port = page.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port))) as lazy, stage.database.once("test") as connection:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = f"GET /realtime/{SQUARE}?token={token(settings)} HTTP/1.1\r\nHost: {host}\r\n\r\n"
        lazy.sendall(request.encode())
        assert lazy.recv(1)
        eventually(lambda: not joins(page, token(settings)))
        for n in range(hub.ROOM * 2):
            tell(connection, n, filler="x" * 30_000)
        eventually(lambda: joins(page, token(settings)), 20)


def test_nothing_is_looked_at_while_nobody_listens(
    page: str, settings: Settings, database_sessions: Callable[[], int]
) -> None:
    assert database_sessions() == 0
    with listening(page, SQUARE, token(settings)) as ear:
        ear.ready()
        assert database_sessions() >= 1


@pytest.fixture
def database_sessions(stage: Stage) -> Callable[[], int]:
    """How many the web has open for realtime."""

    def count() -> int:
        [(found,)] = stage.rows(
            "select count(*) from pg_stat_activity where datname = current_database() and application_name like '%web realtime'"
        )
        return int(found)

    return count


def test_the_server_stops_under_an_open_stream(settings: Settings) -> None:
    with serving(settings) as page, listening(page, SQUARE, token(settings)) as ear:
        ear.ready()
        began = time.monotonic()
    assert time.monotonic() - began < STOP_LIMIT.total_seconds()


def test_listeners_hear_on_after_postgresql_has_ended_their_sessions(
    page: str, stage: Stage, settings: Settings
) -> None:
    with listening(page, SQUARE, token(settings)) as ear:
        ear.ready()
        stage.rows(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name like '%web realtime'"
        )
        stage.publish(TownCalled(n=1))
        assert ear.hear()[0].name == "cried"


def test_the_command_makes_a_token_that_opens(
    cli: Cli, page: str, settings: Settings, monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    monkeypatch.setenv("CALLBOARD_REALTIME_SECRET", SECRET)
    done = cli("realtime", "token", "corner-1", "corner-2", "--for", "60")
    assert done.exit_code == 0, done.output

    with listening(page, "corner-2", done.stdout.strip()) as ear:
        ear.ready()
        stage.publish(TownWhispered(n=2))
        assert ear.hear()[0].data == {"n": 2}
    assert cli("realtime", "token", "..").exit_code == 1


def test_positions_are_given_once_by_any_number_of_readers(database: Database) -> None:
    """Eight look at once at rows that four write: no position is given twice, none moves."""
    key, seen = rows.lock_key("callboard"), list[list[int]]()

    def write() -> None:
        with database.once("test") as connection:
            for n in range(50):
                tell(connection, n)

    def look() -> None:
        mine: list[int] = []
        with database.once("test") as connection:

            def more() -> bool:
                mine.extend(told.position for told in rows.after(connection, key, mine[-1] if mine else 0))
                return len(mine) >= 200

            eventually(more, 20)
        seen.append(mine)

    threads = [threading.Thread(target=work) for work in (*[write] * 4, *[look] * 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(seen) == 8
    assert all(mine == seen[0] and len(mine) == len(set(mine)) == 200 for mine in seen)
