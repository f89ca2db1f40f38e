"""`GET /metrics`: valid text, over all processes, and nothing of an event in it."""

import re
from collections.abc import Iterator

import httpx
import pytest
from pydantic import SecretStr

from broker.pause import pause
from broker.testing import Stage
from tests.ops.web.conftest import Serve
from tests.ops.web.shop import TillPaid
from tests.support.waiting import eventually

SAMPLE = re.compile(r'[a-z_]+(\{[a-z_]+="(?:[^"\\]|\\.)*"(,[a-z_]+="(?:[^"\\]|\\.)*")*\})? [0-9.e+-]+')


@pytest.fixture
def client(stage: Stage, serve: Serve) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=serve(stage.settings), timeout=20) as made:
        yield made


def samples(client: httpx.Client) -> dict[str, float]:
    text = client.get("/metrics").text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert [line for line in lines if not SAMPLE.fullmatch(line)] == []
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_what_was_done_is_counted_and_what_stands_is_told(client: httpx.Client, stage: Stage) -> None:
    assert samples(client)["callboard_outbox_events"] == 0
    for number in range(3):
        stage.publish(TillPaid(session_id=f"canary-{number}", cents=1))
    stage.drain()
    done = 'callboard_process_duration_seconds_count{actor="shop.ring",outcome="completed"}'
    eventually(lambda: samples(client).get(done) == 3, 15)
    found = samples(client)
    buckets = [
        value for name, value in found.items() if name.startswith(done.replace("_count{", "_bucket{")[:-1])
    ]
    assert buckets == sorted(buckets) and buckets[-1] == 3
    assert found['callboard_critical_time_seconds_count{actor="shop.ring"}'] == 3
    assert [value for name, value in found.items() if name.startswith("callboard_workers")] == [1]
    assert "canary" not in client.get("/metrics").text


def test_with_a_secret_only_who_has_it_is_told(stage: Stage, serve: Serve) -> None:
    settings = stage.settings.model_copy(update={"metrics_secret": SecretStr("newer, older")})
    with httpx.Client(base_url=serve(settings), timeout=20) as client:
        for given in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic newer"}):
            refused = client.get("/metrics", headers=given)
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
            assert "callboard_" not in refused.text
        for secret in ("newer", "older"):
            assert client.get("/metrics", headers={"authorization": f"Bearer {secret}"}).status_code == 200


def test_what_is_paused_is_a_gauge(client: httpx.Client, stage: Stage) -> None:
    with stage.database.once("test") as connection:
        pause(connection, "actor", "shop.ring", "ada")
    eventually(lambda: stage.rows("select 1 from pause"))
    told = eventually(
        lambda: (
            stage.publish(TillPaid(session_id="x", cents=1))
            and samples(client).get('callboard_runs_paused{kind="actor",name="shop.ring"}')
        ),
        15,
        every=0.2,
    )
    assert told


def test_without_a_database_it_says_so(serve: Serve, stage: Stage) -> None:
    away = {"database_url": SecretStr("postgresql://nobody@127.0.0.1:1/none?connect_timeout=1")}
    with httpx.Client(base_url=serve(stage.settings.model_copy(update=away)), timeout=30) as client:
        assert client.get("/metrics").status_code == 503
