"""Publishing over HTTP: every form, every refusal, and what is kept whatever the servers do."""

import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent
from pydantic import SecretStr

from broker.event_keys import create, list_keys, revoke, rotate
from broker.testing import Stage
from ops.boot import App
from ops.web.ingest.openapi import openapi
from schemas import Event
from schemas.pages import PageScanRequested
from tests.ops.conftest import Cli
from tests.ops.web.conftest import Serve
from tests.ops.web.shop import ACTORS
from tests.support.runner import HOUSE
from tests.support.waiting import eventually

STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"


class ParcelSent(Event, type="parcel.sent", aliases=("parcel-was.sent",)):
    parcel_id: int
    note: str = ""


@pytest.fixture
def address(stage: Stage, serve: Serve) -> str:
    """Open to everybody, as in development."""
    return serve(stage.settings.model_copy(update={"ingest_open": True}), actors=tuple(ACTORS))


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=20) as made:
        yield made


@pytest.fixture
def locked(stage: Stage, serve: Serve) -> Iterator[httpx.Client]:
    """For those who have a key."""
    with httpx.Client(base_url=serve(stage.settings, actors=tuple(ACTORS)), timeout=20) as made:
        yield made


def attributes(**changes: str) -> dict[str, str]:
    return {"specversion": "1.0", "id": str(uuid4()), "source": "/till", "type": "parcel.sent", **changes}


def binary(**changes: str) -> dict[str, str]:
    named = {f"ce-{name}": value for name, value in attributes(**changes).items()}
    return {"content-type": "application/json", **named}


def structured(data: Any = None, **changes: str) -> dict[str, Any]:
    return {**attributes(**changes), "data": {"parcel_id": 1} if data is None else data}


def kept(stage: Stage) -> list[tuple[str, str, int]]:
    """Id, source and parcel of every event that has become a dead letter, for nobody hears of parcels, or waits for the relay."""
    stage.drain()
    return eventually(
        lambda: stage.rows(
            "select event_id, event_source, (convert_from(body, 'utf8')::jsonb ->> 'parcel_id')::int from dead_letter order by id"
        )
    )


def faults(answer: httpx.Response) -> dict[str, str]:
    return {fault["path"]: fault["message"] for fault in answer.json()["error"]["faults"]}


# --- the forms


def test_binary_structured_and_batch_mode_are_kept_as_they_came(client: httpx.Client, stage: Stage) -> None:
    first = client.post("/events", headers=binary(id="one"), content='{"parcelId": 1}')
    second = client.post(
        "/events", headers={"content-type": STRUCTURED}, json=structured({"parcel_id": 2}, id="two")
    )
    third = client.post(
        "/events",
        headers={"content-type": BATCH},
        json=[
            structured({"parcel_id": 3}, id="three"),
            structured({"parcel_id": 4}, id="four", source="/door"),
        ],
    )
    assert [answer.status_code for answer in (first, second, third)] == [202] * 3
    assert [answer.json()["ids"] for answer in (first, second, third)] == [
        ["one"],
        ["two"],
        ["three", "four"],
    ]
    eventually(lambda: len(kept(stage)) == 4)
    assert {(id, source) for id, source, _ in kept(stage)} == {
        ("one", "/till"), ("two", "/till"), ("three", "/till"), ("four", "/door"),
    }  # fmt: skip


def test_the_same_event_again_is_answered_the_same_and_kept_once(client: httpx.Client, stage: Stage) -> None:
    answers = [client.post("/events", headers=binary(id="one"), content='{"parcel_id": 1}') for _ in range(3)]
    assert {answer.status_code for answer in answers} == {202}
    assert {tuple(answer.json()["ids"]) for answer in answers} == {("one",)}
    assert stage.rows("select count(*) from dead_letter where event_id = 'one'")[0][0] <= 3


@pytest.mark.parametrize("name", ["parcel.sent", "parcel/sent", "parcel:sent", "parcel-was.sent"])
def test_the_plain_form_is_taken_under_every_spelling_of_a_type(
    name: str, client: httpx.Client, stage: Stage
) -> None:
    answer = client.post(
        "/e/any-key", json={"name": name, "data": {"parcelId": 7}, "id": "plain-1", "ts": 1_795_000_000_000}
    )
    assert (answer.status_code, answer.json()) == (200, {"ids": ["plain-1"], "status": 200})
    assert kept(stage) == [("plain-1", "event-key/open", 7)] or kept(stage)[0][2] is None


def test_a_list_of_the_plain_form_is_one_commit(client: httpx.Client, stage: Stage) -> None:
    good = [{"name": "parcel.sent", "data": {"parcel_id": n}} for n in range(3)]
    assert len(client.post("/e/k", json=good).json()["ids"]) == 3
    bad = client.post("/e/k", json=[*good, {"name": "parcel.sent", "data": {"parcel_id": "x"}}, {"data": 1}])
    assert bad.status_code == 422
    told = bad.json()
    assert {fault["path"] for fault in told["faults"]} == {"[3].data.parcel_id", "[4].name", "[4].data"}
    assert told["error"].startswith("nothing was published; [3].data.parcel_id: ")
    eventually(lambda: len(kept(stage)) == 3)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_curl_publishes(address: str, stage: Stage) -> None:
    done = subprocess.run(
        ["curl", "-sS", "-w", "%{http_code}", "-X", "POST", f"{address}events", "-H", f"content-type: {STRUCTURED}",
         "-d", json.dumps(structured(id="by-curl"))],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert done.stdout == '{"ids":["by-curl"]}202'
    assert kept(stage) == [("by-curl", "/till", 1)]


# --- what is refused

BAD: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "no JSON": (b"{", binary(), 422, "data"),
    "a list as data": (b"[]", binary(), 422, "data"),
    "NUL in a text": (rb'{"parcel_id": 1, "note": "\u0000"}', binary(), 422, "data.note"),
    "beyond 64 bits": (b'{"parcel_id": 99999999999999999999}', binary(), 422, "data.parcel_id"),
    "NaN": (b'{"parcel_id": NaN}', binary(), 422, "data.parcel_id"),
    "twice a key": (b'{"parcel_id": 1, "parcel_id": 2}', binary(), 422, "data.parcel_id"),
    "too deep": (b'{"note": ' + b"[" * 1000 + b"]" * 1000 + b"}", binary(), 422, "data"),
    "invalid UTF-8": (b'{"note": "\xff"}', binary(), 422, "data"),
    "a missing field": (b"{}", binary(), 422, "data.parcel_id"),
    "an unknown type": (b"{}", binary(type="parcel.eaten"), 422, "type"),
    "a type with a wildcard": (b"{}", binary(type="parcel.#"), 422, "type"),
    "a type with a star": (b"{}", binary(type="parcel.*"), 422, "type"),
    "a type that climbs": (b"{}", binary(type="../../etc"), 422, "type"),
    "a type of 300 characters": (b"{}", binary(type="t" * 300), 422, "type"),
    "an unknown version": (b'{"parcel_id": 1}', binary(schemaversion="9"), 422, "schemaversion"),
    "an id of 300 bytes": (b'{"parcel_id": 1}', binary(id="i" * 300), 422, "id"),
    "no id": (b'{"parcel_id": 1}', binary(id=""), 422, "id"),
    "no attributes": (b'{"parcel_id": 1}', {"content-type": "application/json"}, 422, "specversion"),
    "another specversion": (b'{"parcel_id": 1}', binary(specversion="0.3"), 422, "specversion"),
    "a time that is none": (b'{"parcel_id": 1}', binary(time="noon"), 422, "time"),
    "a time of long ago": (b'{"parcel_id": 1}', binary(time="2020-01-01T00:00:00Z"), 422, "time"),
    "a form": (b"a=b", {"content-type": "application/x-www-form-urlencoded"}, 415, "datacontenttype"),
    "an empty batch": (b"[]", {"content-type": BATCH}, 422, ""),
    "a batch that is none": (b"{}", {"content-type": BATCH}, 422, ""),
    "a batch with a number": (b"[1]", {"content-type": BATCH}, 422, "[0].data"),
    "a wake-up": (b'{"run_id": 1}', {"content-type": "application/vnd.callboard.wake+json"}, 422, ""),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_named_by_its_path_and_nothing_is_kept(
    name: str, client: httpx.Client, stage: Stage
) -> None:
    content, headers, code, path = BAD[name]
    answer = client.post("/events", content=content, headers=headers)
    assert answer.status_code in (code, 415), answer.text
    if path:
        assert path in faults(answer), answer.text
    assert stage.rows("select count(*) from outbox") == stage.rows("select count(*) from delivery") == [(0,)]


def test_what_is_encoded_or_too_large_is_refused_before_it_is_read(client: httpx.Client) -> None:
    zipped = client.post(
        "/events", content=gzip.compress(b"{}" * 1000), headers={**binary(), "content-encoding": "gzip"}
    )
    large = client.post("/events", content=b'{"note": "' + b"x" * 1_100_000 + b'"}', headers=binary())
    larger = client.post("/events", content=b"x" * 5_000_000, headers=binary())
    assert (zipped.status_code, large.status_code, larger.status_code) == (415, 413, 413)


def test_no_value_of_a_request_is_in_an_answer(client: httpx.Client) -> None:
    canary = "CANARY-0815"
    for content in (
        b'{"parcel_id": "%s"}' % canary.encode(),
        b'{"note": "%s"' % canary.encode(),
        canary.encode(),
    ):
        assert canary not in client.post("/events", content=content, headers=binary()).text
    assert canary not in client.post("/e/k", json={"name": canary, "data": {}}).text


# --- keys


def made(stage: Stage, name: str = "till", **scope: Any) -> str:
    with stage.database.once("test") as connection:
        return create(connection, name, "ada", **scope)[1]


def publish(client: httpx.Client, secret: str, **changes: str) -> httpx.Response:
    headers = {**binary(**changes), "authorization": f"Bearer {secret}"}
    return client.post("/events", content=b'{"parcel_id": 1}', headers=headers)


def test_without_a_live_key_nothing_is_taken(locked: httpx.Client, stage: Stage) -> None:
    secret = made(stage)
    assert publish(locked, secret).status_code == 202
    for wrong in ("nobody", "x", secret + "x", secret[:-1], "\x7f", "k" * 5000):
        assert locked.post("/events", content=b"{}", headers=binary()).status_code == 401
        assert publish(locked, wrong.replace("\x7f", "?")).status_code == 401
    assert locked.get("/events/x").status_code == locked.get("/actors").status_code == 401
    with stage.database.once("test") as connection:
        revoke(connection, "till", "ada")
    assert publish(locked, secret).status_code == 401


def test_a_key_is_for_its_types_and_sources(locked: httpx.Client, stage: Stage) -> None:
    secret = made(stage, types=["parcel.*"], sources=["/till*"])
    assert publish(locked, secret, source="/till-2").status_code == 202
    other = publish(locked, secret, source="/door")
    assert other.status_code == 403 and set(faults(other)) == {"source"}
    with stage.database.once("test") as connection:
        narrow = create(connection, "narrow", "ada", types=["order.*"])[1]
    assert set(faults(publish(locked, narrow))) == {"type"}


def test_a_key_publishes_as_often_as_it_says(locked: httpx.Client, stage: Stage) -> None:
    secret = made(stage, rate=2)
    answers = [publish(locked, secret) for _ in range(4)]
    assert [answer.status_code for answer in answers[:2]] == [202, 202]
    assert answers[3].status_code == 429 and int(answers[3].headers["retry-after"]) >= 1


def test_a_rotated_secret_goes_on_for_its_grace(locked: httpx.Client, stage: Stage) -> None:
    from datetime import timedelta

    old = made(stage)
    with stage.database.once("test") as connection:
        _, new = rotate(connection, "till", "ada", timedelta(hours=1))
    assert publish(locked, old).status_code == publish(locked, new).status_code == 202
    stage.clock.advance(timedelta(hours=2))
    assert (publish(locked, old).status_code, publish(locked, new).status_code) == (401, 202)


def test_the_secret_is_kept_nowhere(stage: Stage, cli: Cli) -> None:
    told = cli("keys", "create", "shop", "--type", "order.*", "--rate", "5")
    secret = told.stdout.strip()
    assert told.exit_code == 0 and secret.startswith("cbk_")
    assert secret not in str(stage.rows("select * from event_key")) + str(stage.rows("select * from audit"))
    assert "order.*" in cli("keys").stdout and secret not in cli("keys").stdout
    assert cli("keys", "rotate", "shop", "--grace", "0").stdout.startswith("cbk_")
    assert cli("keys", "revoke", "shop", "--yes").stdout == "revoked 1 key named shop\n"
    assert "no live key is named 'shop'" in cli("keys", "revoke", "shop", "--yes").stderr
    with stage.database.once("test") as connection:
        assert list_keys(connection) == [] and len(list_keys(connection, ended=True)) == 2


# --- servers away


def test_with_rabbitmq_away_an_event_is_kept_and_sent_later(stage: Stage, serve: Serve) -> None:
    away = {"ingest_open": True, "broker_url": SecretStr("amqp://guest:guest@127.0.0.1:1/")}
    with httpx.Client(base_url=serve(stage.settings.model_copy(update=away)), timeout=20) as client:
        assert (
            client.post("/events", headers=binary(id="kept"), content=b'{"parcel_id": 1}').status_code == 202
        )
        assert client.get("/readyz").json() == {"status": "ok", "database": "ok", "rabbitmq": "away"}
    assert kept(stage) == [("kept", "/till", 1)]


def test_with_postgresql_away_nothing_is_promised(serve: Serve, stage: Stage) -> None:
    away = {
        "ingest_open": True,
        "database_url": SecretStr("postgresql://nobody@127.0.0.1:1/nothing?connect_timeout=1"),
    }
    with httpx.Client(base_url=serve(stage.settings.model_copy(update=away)), timeout=30) as client:
        answer = client.post("/events", headers=binary(), content=b'{"parcel_id": 1}')
        assert answer.status_code == 503 and answer.headers["retry-after"]
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 503


# --- what became of it, and what there is


def test_the_status_of_an_event_is_told_without_its_payload(client: httpx.Client, stage: Stage) -> None:
    client.post("/events", headers=binary(id="one"), content=b'{"parcel_id": 4711, "note": "private"}')
    kept(stage)
    told = client.get("/events/one")
    assert told.status_code == 200 and [letter["reason"] for letter in told.json()["dead_letters"]] == [
        "unheard"
    ]
    assert "private" not in told.text and "4711" not in told.text
    for unknown in ("nobody", "a%00b", "x" * 300, "..%2f..%2fetc"):
        assert client.get(f"/events/{unknown}").status_code == 404


def test_the_house_tells_its_actors_and_its_doors(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json()["rabbitmq"] == "unused"
    told = client.get("/actors").json()["actors"]
    assert [actor["id"] for actor in told] == sorted(actor.name for actor in ACTORS)
    document = client.get("/openapi.json").json()
    assert document == json.loads(json.dumps(openapi()))
    assert set(document["paths"]["/events"]["post"]["responses"]) >= {
        "202",
        "401",
        "413",
        "422",
        "429",
        "503",
    }
    assert "parcel.sent.v1" in document["components"]["schemas"]


def test_an_empty_house_takes_no_event(serve: Serve, stage: Stage) -> None:
    with httpx.Client(base_url=serve(stage.settings), timeout=20) as client:
        assert App().actors == ()
        assert client.get("/openapi.json").status_code == 200


PAGE = (HOUSE / "ops/docs/publishing.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
def test_node_publishes_as_the_page_says(address: str, stage: Stage) -> None:
    [script] = blocks("js")
    done = subprocess.run(
        ["node", "--input-type=module", "-e", script.replace("http://127.0.0.1:8094/", address)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    eventually(lambda: sent(stage) == ["7f3c"])


def test_the_page_on_publishing_says_what_works(address: str, stage: Stage) -> None:
    assert PageScanRequested.event_type in PAGE  # and so it is declared, whichever test runs first
    python, _orm, _models = blocks("python")
    exec(compile(python, "publishing.md", "exec"), {"address": address.rstrip("/"), "key": "none"})  # noqa: S102  our own page
    curl = next(block for block in blocks("sh") if "curl" in block)
    done = subprocess.run(
        ["bash", "-c", curl.replace("http://127.0.0.1:8094/", address)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert " 202 " in done.stdout.splitlines()[0]
    eventually(lambda: sent(stage) == ["7f3a", "7f3b"])


def sent(stage: Stage) -> list[str]:
    """The ids of events that wait for somebody to hear or to scan them."""
    rows = stage.rows("select event_id from dead_letter union select event_id from run order by 1")
    return [id for (id,) in rows]


@pytest.mark.parametrize("to", [to_binary, to_structured])
def test_the_official_sdk_publishes(to: Any, client: httpx.Client, stage: Stage) -> None:
    event = CloudEvent({"type": "parcel.sent", "source": "/sdk", "id": "by-sdk"}, {"parcel_id": 5})
    headers, content = to(event)
    answer = client.post("/events", headers={"content-type": "application/json", **headers}, content=content)
    assert (answer.status_code, answer.json()) == (202, {"ids": ["by-sdk"]})
    assert kept(stage) == [("by-sdk", "/sdk", 5)]
