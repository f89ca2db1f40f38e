"""Somebody else's clock triggers a schedule over HTTP: an event, once, and nothing is performed there."""

import time
from base64 import b64encode
from collections.abc import Iterator

import httpx
import pytest
from pydantic import SecretStr

from broker.schedules import control
from broker.testing import Stage
from tests.ops.web.conftest import Serve
from tests.ops.web.shop import ACTORS, HEARD, SCHEDULES
from tests.support import signing

KEY = b"k" * 32
BEARER = "a bearer secret"
SECRETS = f"{BEARER}, whsec_{b64encode(KEY).decode()}"


@pytest.fixture
def stage(dsn: str) -> Iterator[Stage]:
    with Stage(dsn, ACTORS, schedules=SCHEDULES) as made:
        made.rows(HEARD)
        yield made


@pytest.fixture
def client(stage: Stage, serve: Serve) -> Iterator[httpx.Client]:
    settings = stage.settings.model_copy(update={"cron_secret": SecretStr(SECRETS)})
    with httpx.Client(base_url=serve(settings, schedules=SCHEDULES), timeout=20) as made:
        yield made


def bearer(secret: str = BEARER) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def rang(stage: Stage) -> int:
    stage.drain()
    [(count,)] = stage.rows("select count(*) from heard where type = 'till.rang'")
    return int(count)


def test_a_schedule_is_triggered_now_and_its_event_named(client: httpx.Client, stage: Stage) -> None:
    answer = client.post("/cron/nightly", headers=bearer())

    assert answer.status_code == 202
    assert rang(stage) == 1
    assert stage.rows("select event_id from run") == [(answer.json()["id"],)]
    with stage.database.once("test") as connection:
        assert [tick.kind for tick in control.ticks(connection, "nightly", 10)] == ["triggered"]
    client.post("/cron/nightly", headers=bearer())
    assert rang(stage) == 2


def test_a_signed_request_is_one_tick_however_often_it_comes(client: httpx.Client, stage: Stage) -> None:
    signed = signing.standard(b"", KEY, "tick-1", int(time.time()))
    answers = [client.post("/cron/nightly", headers=signed) for _ in range(3)]
    other = client.post("/cron/nightly", headers=signing.standard(b"", KEY, "tick-2", int(time.time())))

    assert {answer.status_code for answer in (*answers, other)} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert rang(stage) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("guess"),
        {"authorization": BEARER},
        {"authorization": f"Basic {BEARER}"},
        signing.standard(b"", b"x" * 32, "m", int(time.time())),
        signing.standard(b"", KEY, "m", int(time.time()) - 3600),
        signing.standard(b"other", KEY, "m", int(time.time())),
        {**bearer(), "webhook-signature": "v1,guess"},
    ],
)
def test_who_has_no_secret_triggers_nothing(
    client: httpx.Client, stage: Stage, headers: dict[str, str]
) -> None:
    answer = client.post("/cron/nightly", headers=headers)

    assert answer.status_code == 401
    assert BEARER not in answer.text
    assert rang(stage) == 0


def test_what_is_no_schedule_here_is_said_only_to_who_has_a_secret(client: httpx.Client) -> None:
    assert client.post("/cron/weekly", headers=bearer()).status_code == 404
    assert client.post("/cron/weekly").status_code == 401
    assert client.post("/cron/nightly", headers={**bearer(), "content-encoding": "gzip"}).status_code == 415
    assert client.post("/cron/nightly", headers=bearer(), content=b"x" * 70_000).status_code == 413


def test_a_retired_schedule_is_not_triggered(client: httpx.Client, stage: Stage) -> None:
    stage.rows("update schedule set retired_at = clock()")
    answer = client.post("/cron/nightly", headers=bearer())

    assert answer.status_code == 409
    assert "retired" in answer.json()["error"]["message"]
    stage.rows("delete from schedule")
    assert client.post("/cron/nightly", headers=bearer()).status_code == 404


def test_without_a_secret_the_answer_names_the_setting(stage: Stage, serve: Serve) -> None:
    answer = httpx.post(f"{serve(stage.settings, schedules=SCHEDULES)}cron/nightly", headers=bearer())

    assert answer.status_code == 503
    assert "CALLBOARD_CRON_SECRET" in answer.json()["error"]["message"]
