"""The AMQP door: whatever a stranger sends is one dead letter with the field at fault, and the next good event is done."""

import json
from pathlib import Path
from uuid import uuid4

import pytest

from ops.demo_site.server import DemoSite
from tests.end_to_end.stories import PATIENCE
from tests.support.installation import Installation
from tests.support.stranger import Message, cloud_event, publish_as_stranger, raw
from tests.support.waiting import eventually

pytestmark = pytest.mark.end_to_end

TYPE = "page.scan.requested"
CANARY = "CANARY-4711"
ATTRIBUTES = {"specversion": "1.0", "source": "stranger", "type": TYPE}


def page(**changes: object) -> dict[str, object]:
    return {"page_id": str(uuid4()), "url": "https://example.com/", "user_id": CANARY, **changes}


def body(text: str | bytes, **attributes: str) -> Message:
    """A well-addressed message with this body."""
    headers = {
        f"cloudEvents_{name}": value
        for name, value in {**ATTRIBUTES, "id": str(uuid4()), **attributes}.items()
    }
    return raw(TYPE, text if isinstance(text, bytes) else text.encode(), headers)


def with_member(member: str) -> Message:
    """A whole page, and one more member written by hand."""
    return body(json.dumps(page())[:-1] + f", {member}}}")


BAD: dict[str, tuple[Message, str, str]] = {
    "NUL in a text": (with_member(r'"note": "a\u0000b"'), "invalid payload", "note"),
    "an integer beyond 64 bits": (with_member('"note": 99999999999999999999999'), "invalid payload", "note"),
    "NaN": (with_member('"note": NaN'), "invalid payload", "note"),
    "Infinity": (with_member('"note": -Infinity'), "invalid payload", "note"),
    "the same key twice": (with_member('"user_id": "b"'), "invalid payload", "user_id"),
    "too deep": (with_member('"note": ' + "[" * 1000 + "]" * 1000), "invalid payload", "data"),
    "invalid UTF-8": (body(b'{"user_id": "\xff\xfe"}'), "undecodable", "data"),
    "no JSON": (body(CANARY), "undecodable", "data"),
    "a list": (body("[]"), "undecodable", "data"),
    "a wrong kind of value": (cloud_event(TYPE, page(page_id=CANARY)), "invalid payload", "page_id"),
    "a missing field": (cloud_event(TYPE, {"user_id": CANARY}), "invalid payload", "page_id, url"),
    "an id of 300 characters": (cloud_event(TYPE, page(), id="i" * 300), "undecodable", "id"),
    "an id with NUL": (cloud_event(TYPE, page(), id="a\0b"), "undecodable", "id"),
    "no id": (
        raw(TYPE, json.dumps(page()).encode(), {"cloudEvents_type": TYPE}),
        "undecodable",
        "specversion",
    ),
    "a version that is no number": (
        cloud_event(TYPE, page(), schemaversion="newest"),
        "undecodable",
        "schemaversion",
    ),
    "a version that nobody knows": (
        cloud_event(TYPE, page(), schemaversion="99"),
        "unknown version",
        "schemaversion",
    ),
    "a time that is none": (cloud_event(TYPE, page(), time="yesterday"), "undecodable", "time"),
    "a type of 300 characters": (cloud_event("t" * 300, page(), key=TYPE), "undecodable", "type"),
    "a type with a wildcard": (cloud_event("page.#", page(), key=TYPE), "undecodable", "type"),
    "a type with a star": (cloud_event("page.*.requested", page(), key=TYPE), "undecodable", "type"),
    "a type that climbs": (cloud_event("../../etc/passwd", page(), key=TYPE), "undecodable", "type"),
    "a type of another actor": (
        cloud_event("order.paid", page(), key=TYPE),
        "undecodable",
        "type",
    ),
    "too large": (body('{"note": "' + "x" * 1_100_000 + '"}'), "too large", "data"),
    "another content type": (
        raw(TYPE, b"a=b", {}, "application/x-www-form-urlencoded"),
        "undecodable",
        "datacontenttype",
    ),
    "a gzip bomb": (
        raw(TYPE, b"\x1f\x8b\x08" + b"\0" * 64, {}, "application/gzip"),
        "undecodable",
        "datacontenttype",
    ),
}


def test_each_bad_message_is_a_dead_letter_that_names_its_field(
    on_rabbitmq: Installation, amqp_url: str, tmp_path: Path, site: DemoSite
) -> None:
    lies = {"x_death": "999", "attempt": "77", "callboard_run_id": str(uuid4()), "traceparent": "00-zz-1-1"}
    good = cloud_event(TYPE, {**page(), "url": site.urls[0], "user_id": "ada", "unknown_field": 1}, **lies)
    on_rabbitmq = on_rabbitmq.but(CALLBOARD_UNKNOWN_GRACE="0")
    with on_rabbitmq.workers():
        publish_as_stranger(amqp_url, [*(message for message, _, _ in BAD.values()), good], tmp_path)
        eventually(lambda: on_rabbitmq.one("select count(*) from dead_letter") == len(BAD), PATIENCE)
        eventually(
            lambda: on_rabbitmq.one("select count(*) from run where actor = 'pages.scan'") == 1, PATIENCE
        )

    rows = on_rabbitmq.rows("select body, reason, coalesce(field, ''), event_id, error from dead_letter")
    kept = {bytes(body): (reason, field) for body, reason, field, _, _ in rows}
    assert {name: kept.get(_bytes(message)) for name, (message, _, _) in BAD.items()} == {
        name: (reason, field) for name, (_, reason, field) in BAD.items()
    }
    assert not any(CANARY in error for *_, error in rows)
    assert CANARY not in (tmp_path / "worker.log").read_text()
    assert on_rabbitmq.rows("select attempt, status from run where actor = 'pages.scan'") == [
        (1, "completed")
    ]
    # Whoever has its id finds it, though it could not be read.
    unreadable = BAD["no JSON"][0]["headers"]
    assert isinstance(unreadable, dict)
    assert "undecodable" in on_rabbitmq.callboard("why", unreadable["cloudEvents_id"])


def _bytes(message: Message) -> bytes:
    return str(message["body"]).encode("latin-1")
