"""A value that must not leave is put into every door and into what others answer, and looked for in all that the house says."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from ops.demo_site.server import DemoSite
from tests.end_to_end.stories import PATIENCE
from tests.support.installation import Installation
from tests.support.otlp import Receiver
from tests.support.post_office import PostOffice, open_office
from tests.support.stranger import publish_as_stranger, raw
from tests.support.waiting import eventually
from tests.support.web import Web, serving

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

CANARY = "CANARY-2718"
LETTER = f"{CANARY}@example.com"
WISH = {"recipient_name": CANARY, "story": CANARY, "occasion": "birthday", "genre": "folk", "mood": "happy"}
EVENTS: dict[str, dict[str, object]] = {
    "email.welcome": {"user_id": "u-1", "email": LETTER, "name": CANARY},
    "webhook.received": {
        "provider": "acme",
        "topic": "product.updated",
        "delivery_id": "d-1",
        "payload": {"data": {"id": CANARY}},
    },
    "order.paid": {"order_id": str(uuid4()), "stripe_session_id": "pay_1", "customization": WISH},
}
FAILED = {
    ("emails.welcome", "not retriable"),
    ("webhooks.dispatch", "not retriable"),
    ("orders.generate", "not retriable"),
    ("emails.welcome", "undecodable"),
}
"""The dead letters at the end."""


@pytest.fixture
def office() -> Iterator[PostOffice]:
    with open_office() as office:
        office.refused[LETTER] = f"550 there is no {LETTER} here"
        yield office


@pytest.fixture
def studio() -> Iterator[Web]:
    """A model API that repeats what it was asked for in its error."""
    with serving() as web:
        web.otherwise = lambda call: call.answer(
            400, json.dumps({"error": {"message": f"no song for {CANARY}"}}), content_type="application/json"
        )
        yield web


@pytest.fixture
def house(
    on_rabbitmq: Installation, receiver: Receiver, office: PostOffice, studio: Web, site: DemoSite
) -> Installation:
    return on_rabbitmq.but(
        CALLBOARD_EMAILS_SMTP_HOST="127.0.0.1",
        CALLBOARD_EMAILS_SMTP_PORT=str(office.port),
        CALLBOARD_EMAILS_SMTP_STARTTLS="0",
        CALLBOARD_ORDERS_MUSIC_URL=studio.url("/v1"),
        CALLBOARD_LOG_LEVEL="debug",
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        OTEL_BSP_SCHEDULE_DELAY="100",
        OTEL_METRIC_EXPORT_INTERVAL="500",
    )


def test_it_is_found_nowhere(house: Installation, receiver: Receiver, tmp_path: Path) -> None:
    secret = house.callboard("keys", "create", "shop", "--by", "ada").split()
    with house.web() as address, house.workers():
        said = [post(address, type, data, secret) for type, data in EVENTS.items()]
        assert [status for status, _ in said] == [202] * len(EVENTS)
        said += [
            post(address, "email.welcome", {"user_id": {"is": CANARY}, "email": CANARY}, secret),
            post(address, CANARY, {}, secret),
            post(address, "email.welcome", {}, [CANARY]),
        ]
        assert [status for status, _ in said[len(EVENTS) :]] == [422, 422, 401]
        headers = {"cloudEvents_specversion": "1.0", "cloudEvents_type": "email.welcome"}
        url = house.environment["CALLBOARD_BROKER_URL"]
        publish_as_stranger(url, [raw("email.welcome", CANARY.encode(), headers)], tmp_path)
        eventually(lambda: set(letters(house)) == FAILED, PATIENCE, every=0.2)
        eventually(lambda: house.one("select count(*) from run where finished_at is null") == 0, PATIENCE)
        receiver.wait_for(lambda spans: len(spans) > 10, PATIENCE)
        eventually(lambda: receiver.metrics, PATIENCE)
        told = {**everything(house, address, secret), "answers": str(said)}
    told |= {log: (tmp_path / log).read_text() for log in ("worker.log", "web.log")}
    told["telemetry"] = b"".join(receiver.raw).decode("latin-1")

    assert [what for what, text in told.items() if not text] in ([], ["web.log"])
    assert [what for what, text in told.items() if CANARY in text] == []
    assert CANARY in house.callboard(
        "dead", "show", letters(house)["emails.welcome", "not retriable"], "--reveal", "--by", "ada"
    )


def post(address: str, event_type: str, data: object, secret: list[str]) -> tuple[int, str]:
    """In binary mode, with the last word as the key."""
    request = urllib.request.Request(
        f"{address}events",
        json.dumps(data).encode(),
        {
            "content-type": "application/json",
            "authorization": f"Bearer {secret[-1]}",
            "ce-specversion": "1.0",
            "ce-id": str(uuid4()),
            "ce-source": "test",
            "ce-type": event_type,
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def everything(house: Installation, address: str, secret: list[str]) -> dict[str, str]:
    """All pages and all screens about all runs, events and dead letters."""
    runs = [str(id) for (id,) in house.rows("select id from run")]
    events = [str(id) for (id,) in house.rows("select distinct event_id from run")]
    screens = [
        ("runs", "--json"),
        ("dead", "list"),
        ("dead", "list", "--json"),
        *(("runs", "show", run) for run in runs),
        *(("runs", "show", run, "--json") for run in runs),
        *((verb, event) for event in events for verb in ("why", "trace")),
        *(("dead", "show", letter) for letter in letters(house).values()),
    ]
    pages = ["", "metrics", "actors", "readyz", *(f"runs/{run}" for run in runs)]
    shown = {f"GET /{page}": get(address + page, secret) for page in pages}
    return shown | {" ".join(screen): house.callboard(*screen) for screen in screens}


def letters(house: Installation) -> dict[tuple[str, str], str]:
    """Ids of dead letters by actor and reason."""
    return {(letter["actor"], letter["reason"]): str(letter["id"]) for letter in house.letters()}


def get(address: str, secret: list[str]) -> str:
    request = urllib.request.Request(address, headers={"authorization": f"Bearer {secret[-1]}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return str(answer.read().decode())
