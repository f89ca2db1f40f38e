"""Webhooks over real HTTP: what is let in, what is not, and that a delivery is one event however often it comes."""

import gzip
import json
import os
import socket
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from broker.retention import Retention
from broker.testing import Stage
from ops.web import body, crowd
from tests.ops.conftest import Cli
from tests.ops.web.conftest import Serve
from tests.ops.web.shop import WEBHOOKS
from tests.ops.web.till import KEY, PAID, SALLA, STRIPE, Headers, deliver, heard, now, stripe, stripe_event
from tests.support import signing
from tests.support.waiting import eventually

# --- what becomes of a delivery


def test_a_stripe_delivery_becomes_the_event_of_the_mapping_under_its_own_id(
    client: httpx.Client, stage: Stage
) -> None:
    answer = stripe(client, stripe_event())

    assert answer.status_code == 202
    assert answer.json() == {"received": True, "ids": ["evt_1"], "mapped": True, "repeated": False}
    assert heard(stage) == [("till.paid", "evt_1")]
    assert stage.rows("select event_source, event from run") == [("webhooks/stripe", PAID)]


def test_a_delivery_may_become_several_events(client: httpx.Client, stage: Stage) -> None:
    content = stripe_event(topic="checkout.session.thanked")

    assert stripe(client, content).json()["ids"] == ["evt_1", "evt_1:1", "evt_1:2"]
    stripe(client, content)
    assert heard(stage) == [("till.thanked", id) for id in ("evt_1", "evt_1:1", "evt_1:2")]


def test_without_a_mapping_it_is_a_webhook_received(client: httpx.Client, stage: Stage) -> None:
    content = json.dumps({"event": "order.created", "merchant": 77, "data": {"id": 5}}).encode()
    signed = signing.salla(content, SALLA)
    first = deliver(client, "salla", content, signed)
    again = deliver(client, "salla", content, signed)
    standard = json.dumps({"type": "invoice.paid", "data": {}}).encode()
    other = deliver(client, "standard", standard, signing.standard(standard, KEY, "msg_1", now()))

    assert [answer.status_code for answer in (first, again, other)] == [202, 202, 202]
    assert first.json()["ids"] == again.json()["ids"]
    digest = first.json()["ids"][0]
    assert heard(stage) == [
        ("webhook.received", f"salla order.created {digest} 77"),
        ("webhook.received", "standard invoice.paid msg_1 None"),
    ]


@pytest.mark.parametrize(
    ("topic", "data", "told"),
    [
        ("customer.created", PAID, "not mapped"),
        ("checkout.session.completed", {"cents": "canary"}, "mapping failed"),
    ],
)
def test_what_the_mapping_does_not_make_leaves_as_received_and_is_seen(
    cli: Cli,
    client: httpx.Client,
    stage: Stage,
    topic: str,
    data: object,
    told: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    answer = stripe(client, stripe_event(topic=topic, data=data))

    assert (answer.status_code, answer.json()["mapped"]) == (202, False)
    assert heard(stage) == [("webhook.received", f"stripe {topic} evt_1 None")]
    shown = cli("webhooks", "stripe").output
    assert told in shown and topic in shown
    assert "evt_1" in cli("webhooks", "--unmapped").output
    assert "canary" not in shown + capfd.readouterr().out + answer.text


# --- the same again


def test_the_same_stripe_delivery_a_hundred_times_at_once_is_one_event(
    client: httpx.Client, stage: Stage
) -> None:
    content = [stripe_event(pending_webhooks=n % 3) for n in range(100)]
    signed = [signing.stripe(each, STRIPE, now()) for each in content]
    with ThreadPoolExecutor(100) as threads:
        began = time.monotonic()
        answers = list(threads.map(lambda pair: timed(client, *pair), zip(content, signed, strict=True)))
        lasted = time.monotonic() - began

    assert {answer.status_code for answer, _ in answers} == {202}
    assert max(seconds for _, seconds in answers) < 3, f"all took {lasted:.1f} s"
    assert [answer.json()["repeated"] for answer, _ in answers].count(False) == 1
    assert heard(stage) == [("till.paid", "evt_1")]
    assert stage.rows("select count(*) from run") == [(1,)]
    assert stage.rows("select count(*) from dead_letter") == [(0,)]


def timed(client: httpx.Client, content: bytes, headers: Headers) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    return deliver(client, "stripe", content, headers), time.monotonic() - began


@pytest.mark.skipif(
    "CALLBOARD_TEST_TIMES" not in os.environ,
    reason="CALLBOARD_TEST_TIMES: a measurement, for a machine that is free",
)
def test_our_own_work_on_a_delivery_takes_less_than_50_ms(client: httpx.Client) -> None:
    """4 ms at the median and 11 at p99 on two free cores."""
    stripe(client, stripe_event("evt_warm"))
    content = [stripe_event(f"evt_{n}") for n in range(120)]
    signed = [signing.stripe(each, STRIPE, now()) for each in content]
    times = [timed(client, each, headers)[1] for each, headers in zip(content, signed, strict=True)]

    assert statistics.quantiles(times, n=100)[98] < 0.05


# --- what cannot be read


def test_what_is_not_declared_or_not_asked_so_is_said(client: httpx.Client) -> None:
    assert client.post("/webhooks/nobody").status_code == 404
    assert client.get("/webhooks/stripe").status_code == 405


BAD: dict[str, tuple[bytes, int]] = {
    "no json": (b"paid=1", 422),
    "a list": (b"[]", 422),
    "twice a key": (b'{"id": "evt_1", "id": "evt_2"}', 422),
    "nul": (b'{"id": "evt_1", "type": "a\\u0000b"}', 422),
    "a lone surrogate": (b'{"id": "evt_1", "type": "\\ud800"}', 422),
    "no utf-8": (b'{"id": "\xff"}', 422),
    "not finite": (b'{"id": "evt_1", "x": NaN}', 422),
    "too deep": (b'{"id": "evt_1", "x": ' + b"[" * 100 + b"]" * 100 + b"}", 422),
    "no id": (b'{"type": "x"}', 422),
    "an id that is none": (b'{"id": {"a": 1}, "type": "x"}', 422),
    "an id too long": (b'{"id": "' + b"e" * 300 + b'"}', 422),
    "an id with a line break": (b'{"id": "evt\\n1"}', 422),
    "a megabyte and more": (b'{"id": "evt_1", "x": "' + b"x" * 1024 * 1024 + b'"}', 413),
    "too large as an event": (b'{"id": "evt_1", "data": {}, "x": "' + b"x" * (1024 * 1024 - 40) + b'"}', 413),
}


@pytest.mark.parametrize("case", BAD)
def test_a_signed_body_that_cannot_be_kept_is_told_so(client: httpx.Client, stage: Stage, case: str) -> None:
    content, code = BAD[case]
    answer = stripe(client, content)

    assert answer.status_code == code
    assert "error" in answer.json()
    assert stage.rows("select count(*) from webhook_delivery") == [(0,)]


def test_nothing_encoded_is_unpacked(client: httpx.Client) -> None:
    bomb = gzip.compress(b"x" * 10_000_000)
    headers = {**signing.stripe(bomb, STRIPE, now()), "content-encoding": "gzip"}

    assert deliver(client, "stripe", bomb, headers).status_code == 415


def test_a_body_that_says_it_is_too_large_is_not_read(client: httpx.Client) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), 10) as line:
        line.sendall(
            b"POST /webhooks/stripe HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n"
        )
        assert line.recv(100).startswith(b"HTTP/1.1 413")


def test_a_body_without_a_length_is_cut_at_the_limit(client: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 65_536

    assert client.post("/webhooks/stripe", content=endless()).status_code == 413


def test_a_body_that_does_not_come_is_not_waited_for(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body.read_body, "__defaults__", (timedelta(milliseconds=100),))
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), 10) as line:
        line.sendall(b"POST /webhooks/stripe HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
        assert line.recv(100).startswith(b"HTTP/1.1 408")


def test_no_more_are_let_in_than_fit_and_the_others_are_asked_to_come_again(
    stage: Stage, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd.Crowd.__init__, "__defaults__", (1,))
    with httpx.Client(base_url=serve(stage.settings, webhooks=WEBHOOKS), timeout=20) as client:
        with socket.create_connection((client.base_url.host, client.base_url.port or 0), 10) as line:
            line.sendall(b"POST /webhooks/stripe HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
            busy = eventually(lambda: refused_as_busy(client))
        assert busy is not None and busy.headers["retry-after"] == "1"
        eventually(lambda: stripe(client, stripe_event()).status_code == 202)


def refused_as_busy(client: httpx.Client) -> httpx.Response | None:
    answer = stripe(client, stripe_event("evt_busy"))
    return answer if answer.status_code == 503 else None


# --- servers that are away


def test_while_postgresql_is_away_it_says_so_and_asks_to_come_again(
    stage: Stage, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = stage.settings.model_copy(update={"database_url": SecretStr("host=127.0.0.1 port=1 dbname=none")})
    with httpx.Client(base_url=serve(away, webhooks=WEBHOOKS), timeout=30) as client:
        answer = stripe(client, stripe_event())

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "127.0.0.1" not in answer.text


def test_a_delivery_is_kept_after_postgresql_has_ended_our_sessions(
    client: httpx.Client, stage: Stage
) -> None:
    stripe(client, stripe_event("evt_1"))
    stage.rows(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name like '%web hooks'"
    )

    assert stripe(client, stripe_event("evt_2")).status_code == 202
    assert heard(stage) == [("till.paid", "evt_1"), ("till.paid", "evt_2")]


def test_a_delivery_is_kept_while_rabbitmq_is_away(dsn: str, serve: Serve, stage: Stage) -> None:
    """The door never speaks to RabbitMQ: the event is a row, and a worker's relay sends it."""
    away = stage.settings.model_copy(update={"broker_url": SecretStr("amqp://127.0.0.1:1")})
    with httpx.Client(base_url=serve(away, webhooks=WEBHOOKS), timeout=20) as client:
        assert stripe(client, stripe_event()).status_code == 202
    assert heard(stage) == [("till.paid", "evt_1")]


def test_old_deliveries_are_forgotten_with_their_runs(client: httpx.Client, stage: Stage) -> None:
    stripe(client, stripe_event())
    stage.drain()
    stage.clock.advance(timedelta(days=31))
    day = timedelta(days=1)
    with psycopg.Connection[Any].connect(stage.database.url, autocommit=True) as connection:
        connection.execute("set search_path to callboard")
        Retention(dedup_window=30 * day, steps=day, look_back=day).sweep(connection)
    assert stage.rows("select count(*) from webhook_delivery") == [(0,)]
