"""The HTTP music maker against a real server that generates, refuses, throttles and hangs."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from pydantic import SecretStr

from actors.orders.errors import BadRequestError, MusicError, MusicUnavailableError, RateLimitedError
from actors.orders.music_api import MusicApi
from actors.orders.song import SongCustomization
from tests.support.web import Call, Web, serving

WISH = SongCustomization(recipient_name="Ines", occasion="birthday", message="Thank you", tempo=120)
START = "/v1/audio/generations"
LOOK = f"{START}/gen-1"


def api(web: Web, waited: list[float] | None = None, **changes: object) -> MusicApi:
    settings: dict[str, object] = {
        "base_url": web.url("/v1/"), "api_key": SecretStr("mk-test"), "model": "melody-1",
        "wait": [].append if waited is None else waited.append, **changes,
    }  # fmt: skip
    return MusicApi(**settings)  # type: ignore[arg-type]


def saying(status: str, **more: object) -> Callable[[Call], None]:
    return lambda call: call.answer(200, json.dumps({"id": "gen-1", "status": status, **more}))


def sound(call: Call) -> None:
    call.answer(200, b"ID3 music", content_type="audio/mpeg")


def test_a_song_is_asked_for_waited_for_and_downloaded(web: Web) -> None:
    looks = iter([saying("in_progress"), saying("completed", url="/files/1.mp3", duration_seconds=61.5)])

    def look_by_look(call: Call) -> None:
        next(looks)(call)

    web.routes |= {START: saying("queued"), LOOK: look_by_look, "/files/1.mp3": sound}
    waited: list[float] = []

    song = api(web, waited).make(WISH, 2, "run-7/2")

    assert (song.data, song.content_type, song.extension) == (b"ID3 music", "audio/mpeg", "mp3")
    assert song.duration == timedelta(seconds=61.5)
    assert waited == [2.0, 2.0]
    first = web.requests[0]
    assert first.headers["idempotency-key"] == "run-7/2"
    assert first.headers["authorization"] == "Bearer mk-test"
    assert first.json["model"] == "melody-1"
    assert all(
        word in str(first.json["prompt"]) for word in ("Ines", "birthday", "Thank you", "120", "version 2")
    )
    assert [request.method for request in web.requests] == ["POST", "GET", "GET", "GET"]


def test_the_key_does_not_go_to_another_host(web: Web) -> None:
    with serving() as files:
        files.routes["/1.mp3"] = sound
        web.routes[START] = saying("completed", url=files.url("/1.mp3"))

        api(web).make(WISH, 1, "k")

        assert "authorization" not in files.requests[0].headers


@pytest.mark.parametrize(
    ("status", "error", "final"),
    [
        (400, BadRequestError, True),
        (401, BadRequestError, True),
        (422, BadRequestError, True),
        (302, BadRequestError, True),
        (408, MusicUnavailableError, False),
        (429, RateLimitedError, False),
        (500, MusicUnavailableError, False),
        (503, MusicUnavailableError, False),
    ],
)
@pytest.mark.parametrize("place", [START, LOOK, "/1.mp3"])
def test_a_bad_status_says_whether_another_try_can_help(
    web: Web, place: str, status: int, error: type[MusicError], final: bool
) -> None:
    web.routes |= {START: saying("queued"), LOOK: saying("completed", url="/1.mp3"), "/1.mp3": sound}
    web.routes[place] = lambda call: call.answer(status, "{}", retry_after="30")

    with pytest.raises(error) as failure:
        api(web).make(WISH, 1, "k")

    assert failure.value.final is final
    assert not isinstance(failure.value, RateLimitedError) or failure.value.retry_after == "30"


@pytest.mark.parametrize(
    "answer",
    [
        saying("failed", error="out of notes"),
        saying("completed"),
        saying("completed", url="file:///etc/passwd"),
        saying("sleeping"),
        lambda call: call.answer(200, "not json"),
        lambda call: call.answer(200, "{}"),
    ],
)
def test_an_answer_without_a_song_may_be_tried_again(web: Web, answer: Callable[[Call], None]) -> None:
    web.routes[START] = answer

    with pytest.raises(MusicUnavailableError) as failure:
        api(web).make(WISH, 1, "k")

    assert not failure.value.final


def test_a_song_that_is_never_finished_is_given_up(web: Web) -> None:
    web.routes |= {START: saying("queued"), LOOK: saying("in_progress")}

    with pytest.raises(MusicUnavailableError, match="gen-1"):
        api(web, patience=timedelta(0)).make(WISH, 1, "k")


def test_a_download_that_is_no_audio_or_too_large_is_refused(web: Web) -> None:
    web.routes |= {START: saying("completed", url="/1.mp3"), "/1.mp3": lambda call: call.page("<p>login</p>")}
    with pytest.raises(MusicUnavailableError, match="text/html"):
        api(web).make(WISH, 1, "k")

    web.routes["/1.mp3"] = sound
    with pytest.raises(MusicUnavailableError, match="larger"):
        api(web, max_bytes=5).make(WISH, 1, "k")


def test_an_id_cannot_lead_to_another_address(web: Web) -> None:
    web.routes[START] = lambda call: call.answer(200, json.dumps({"id": "../../x?y", "status": "queued"}))

    with pytest.raises(BadRequestError):
        api(web).make(WISH, 1, "k")

    assert web.paths[1] == f"{START}/..%2F..%2Fx%3Fy"


def test_an_api_that_hangs_or_is_gone_is_unavailable(web: Web) -> None:
    def hang(call: Call) -> None:
        call.server.web.closing.wait()

    web.routes[START] = hang

    with pytest.raises(MusicUnavailableError):
        api(web, timeout=timedelta(milliseconds=100)).make(WISH, 1, "k")
    with serving() as gone:
        pass
    with pytest.raises(MusicUnavailableError):
        api(gone).make(WISH, 1, "k")


def test_the_key_is_in_no_representation(web: Web) -> None:
    assert "mk-test" not in repr(api(web))
