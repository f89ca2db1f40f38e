"""A shop's token is refreshed once, by one worker, and is seen nowhere but in its table."""

import json
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import parse_qs

import pytest

from actors.tokens import providers
from actors.tokens.fail import fail
from actors.tokens.refresh import refresh
from actors.tokens.sweep import sweep
from broker.testing import Stage
from schemas.tokens import TokenRefreshNeeded, TokenSweepDue
from tests.actors.stages import stage
from tests.support.web import Call, Web

NEEDED = TokenRefreshNeeded(shop_id="shop-1", provider="salla")
GIVEN = {"access_token": "access-2", "refresh_token": "refresh-2", "expires_in": 3600}


def grant(call: Call) -> None:
    call.answer(200, json.dumps(GIVEN), content_type="application/json")


@pytest.fixture
def endpoint(web: Web, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A token endpoint, configured."""
    web.routes["/token"] = grant
    monkeypatch.setenv("CALLBOARD_TOKENS_URL", web.url("/token"))
    monkeypatch.setenv("CALLBOARD_TOKENS_CLIENT_ID", "app")
    providers.forget()
    yield web
    providers.forget()


def theatre(dsn: str) -> Stage:
    play = stage(dsn, refresh, sweep, fail)
    with play.database.once("test") as connection:
        connection.execute(
            "insert into tokens.token (shop_id, provider, access_token, refresh_token, expires_at) "
            "values ('shop-1', 'salla', 'access-1', 'refresh-1', clock() + interval '1 minute')"
        )
    return play


def endure(play: Stage) -> None:
    """Work until nothing is left to retry: more rounds than a refresh has attempts."""
    for _ in range(6):
        play.drain()
        play.clock.advance(timedelta(minutes=2))


def tokens(play: Stage) -> list[tuple[str, str]]:
    return play.rows("select access_token, refresh_token from tokens.token")


def test_fifty_requests_for_one_shop_call_the_provider_once(dsn: str, endpoint: Web) -> None:
    with theatre(dsn) as play:
        for _ in range(50):
            play.publish(NEEDED)
        play.drain()

        assert play.rows("select status, count(*) from run group by status") == [("completed", 50)]
        assert tokens(play) == [("access-2", "refresh-2")]
    [asked] = endpoint.requests
    form = parse_qs(asked.body.decode())
    assert (form["grant_type"], form["refresh_token"]) == (["refresh_token"], ["refresh-1"])


def test_a_provider_that_does_not_rotate_leaves_the_refresh_token(dsn: str, endpoint: Web) -> None:
    plain = json.dumps({"access_token": "access-2"})
    endpoint.routes["/token"] = lambda call: call.answer(200, plain, content_type="application/json")
    with theatre(dsn) as play:
        play.publish(NEEDED)
        play.drain()

        assert tokens(play) == [("access-2", "refresh-1")]


@pytest.mark.parametrize("headers", [{}, {"retry_after": "7"}])
@pytest.mark.parametrize("status", [429, 500])
def test_a_provider_in_trouble_is_asked_again(
    dsn: str, endpoint: Web, status: int, headers: dict[str, str]
) -> None:
    def answer(call: Call) -> None:
        if len(endpoint.requests) == 1:
            call.answer(status, **headers)
        else:
            grant(call)

    endpoint.routes["/token"] = answer
    with theatre(dsn) as play:
        play.publish(NEEDED)
        endure(play)

        assert len(endpoint.requests) == 2
        assert tokens(play) == [("access-2", "refresh-2")]


def test_a_refused_grant_is_a_dead_letter_at_once_and_tells_no_token(dsn: str, endpoint: Web) -> None:
    endpoint.routes["/token"] = lambda call: call.answer(400, '{"error": "invalid_grant: refresh-1"}')
    with theatre(dsn) as play:
        play.publish(NEEDED)
        play.drain()

        assert len(endpoint.requests) == 1
        assert tokens(play) == [("access-1", "refresh-1")]
        [[told]] = play.rows("select to_jsonb(d)::text from dead_letter d")
        assert "refused the refresh with 400" in told
        assert "refresh-1" not in told


def test_an_answer_that_is_no_token_is_not_quoted(dsn: str, endpoint: Web) -> None:
    wrong = json.dumps({"access_token": "", "refresh_token": "hidden"})
    endpoint.routes["/token"] = lambda call: call.answer(200, wrong, content_type="application/json")
    with theatre(dsn) as play:
        play.publish(NEEDED)
        endure(play)

        assert len(endpoint.requests) == 5
        [[told]] = play.rows("select to_jsonb(d)::text from dead_letter d")
        assert "something other than a token" in told
        assert "hidden" not in told


def hang_up(call: Call) -> None:
    """Half an answer, then silence."""
    call.send_response(200)
    call.send_header("Content-Length", "100")
    call.end_headers()
    call.wfile.write(b'{"access_token": "acc')
    call.close_connection = True


def test_a_slow_answer_and_one_that_is_cut_off_are_asked_for_again(
    dsn: str, endpoint: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_TOKENS_ANSWER_TIME", "0.3")
    providers.forget()

    def answer(call: Call) -> None:
        if len(endpoint.requests) == 1:
            endpoint.closing.wait()
        elif len(endpoint.requests) == 2:
            hang_up(call)
        else:
            grant(call)

    endpoint.routes["/token"] = answer
    with theatre(dsn) as play:
        play.publish(NEEDED)
        endure(play)

        assert len(endpoint.requests) == 3
        assert tokens(play) == [("access-2", "refresh-2")]


def test_the_sweep_asks_for_what_expires_and_for_nothing_else(dsn: str, endpoint: Web) -> None:
    with theatre(dsn) as play:
        play.rows(
            "insert into tokens.token (shop_id, provider, access_token, refresh_token, expires_at, refused_at) values "
            "('fresh', 'salla', 'a', 'r', clock() + interval '1 hour', null), "
            "('refused', 'salla', 'a', 'r', clock(), clock())"
        )
        play.publish(TokenSweepDue())
        play.drain()
        play.publish(TokenSweepDue())
        play.drain()

        assert len(endpoint.requests) == 1
        renewed = play.rows("select shop_id from tokens.token where access_token = 'access-2'")
        assert renewed == [("shop-1",)]


def test_a_token_that_was_refused_for_good_is_left_alone_until_it_is_given_anew(
    dsn: str, endpoint: Web
) -> None:
    endpoint.routes["/token"] = lambda call: call.answer(400)
    with theatre(dsn) as play:
        for _ in range(2):
            play.publish(TokenSweepDue())
            play.drain()
        assert len(endpoint.requests) == 1
        assert play.rows("select count(*) from dead_letter") == [(1,)]

        endpoint.routes["/token"] = grant
        play.publish(NEEDED)
        play.drain()
        assert play.rows("select refused_at from tokens.token") == [(None,)]


def test_a_provider_that_was_away_is_asked_again_by_the_next_sweep(dsn: str, endpoint: Web) -> None:
    endpoint.routes["/token"] = lambda call: call.answer(500)
    with theatre(dsn) as play:
        play.publish(TokenSweepDue())
        endure(play)
        endpoint.routes["/token"] = grant
        play.publish(TokenSweepDue())
        play.drain()
        assert tokens(play) == [("access-2", "refresh-2")]
