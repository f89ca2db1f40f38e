"""The codec: what we write is read back, foreign spellings are understood, and poison is named."""

import json
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.codec import JSON, MAX_BYTES, STRUCTURED, WAKE, WakeUp, decode, encode, encode_wake
from broker.errors import EventTooLargeError, UndecodableError
from broker.transports.base import WireMessage
from schemas import Envelope, registry, wrap
from schemas.pages import PageScanRequested

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

KEYS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=60)
ENVELOPES = st.builds(
    Envelope,
    id=KEYS,
    source=KEYS,
    type=st.from_regex(r"[a-z][a-z0-9_]{0,9}(\.[a-z][a-z0-9_]{0,9}){0,3}", fullmatch=True),
    time=st.datetimes(timezones=st.just(UTC)),
    data=st.dictionaries(st.text(), st.integers() | st.text()).map(lambda value: json.dumps(value).encode()),
    correlation_id=KEYS,
    version=st.integers(1, 32767),
    subject=st.none() | KEYS,
    causation_id=st.none() | KEYS,
    traceparent=st.none() | st.just(TRACEPARENT),
    tracestate=st.none(),
)


def binary(**changes: object) -> dict[str, object]:
    headers: dict[str, object] = {
        "specversion": "1.0",
        "id": "1",
        "source": "shop",
        "type": "page.scan.requested",
    }
    headers |= {"time": "2026-11-22T12:00:00Z", **changes}
    return {f"cloudEvents_{name}": value for name, value in headers.items() if value is not None}


def structured(**changes: object) -> bytes:
    event: dict[str, object] = {
        "specversion": "1.0",
        "id": "1",
        "source": "shop",
        "type": "page.scan.requested",
    }
    event |= {"time": "2026-11-22T12:00:00Z", "data": {"a": 1}, **changes}
    return json.dumps({name: value for name, value in event.items() if value is not ...}).encode()


def read(message: WireMessage) -> Envelope | WakeUp:
    return decode(message.body, message.headers, message.content_type)


def event(body: bytes, headers: dict[str, object], content_type: str = JSON) -> Envelope:
    envelope = decode(body, headers, content_type)
    assert isinstance(envelope, Envelope)
    return envelope


def refused(body: bytes, headers: dict[str, object], content_type: str = JSON) -> UndecodableError:
    with pytest.raises(UndecodableError) as caught:
        decode(body, headers, content_type)
    assert str(caught.value).startswith(f"{caught.value.field}: ")
    return caught.value


@given(envelope=ENVELOPES)
def test_what_is_written_is_read_back(envelope: Envelope) -> None:
    envelope = replace(envelope, type=registry().normalise(envelope.type))

    assert read(encode(envelope)) == envelope


def test_an_event_travels_under_its_type_as_plain_json_with_its_attributes_as_headers() -> None:
    scan = PageScanRequested.model_validate(
        {"page_id": UUID(int=1), "url": "https://a.example", "user_id": "u"}
    )
    envelope = wrap(
        scan, source="seo", id="1", traceparent=TRACEPARENT, tracestate="a=b", subject="s", causation_id="0"
    )

    message = encode(envelope)

    assert (message.routing_key, message.content_type, message.direct) == ("page.scan.requested", JSON, False)
    assert message.body == envelope.data
    assert message.headers == {
        "cloudEvents_specversion": "1.0",
        "cloudEvents_id": "1",
        "cloudEvents_source": "seo",
        "cloudEvents_type": "page.scan.requested",
        "cloudEvents_time": envelope.time.isoformat(),
        "cloudEvents_schemaversion": "1",
        "cloudEvents_correlationid": "1",
        "cloudEvents_subject": "s",
        "cloudEvents_causationid": "0",
        "traceparent": TRACEPARENT,
        "tracestate": "a=b",
    }
    assert encode(envelope, "pages.scan").routing_key == "pages.scan"
    assert read(message) == envelope


@pytest.mark.parametrize(
    "prefix", ["cloudEvents_", "cloudEvents:", "ce-", "ce_", "CE-", "CLOUDEVENTS_", "cloudevents:"]
)
@pytest.mark.parametrize(
    "content_type", [JSON, "", "Application/JSON; charset=utf-8", "application/vnd.shop+json"]
)
def test_every_spelling_of_binary_mode_is_read(prefix: str, content_type: str) -> None:
    headers = {name.replace("cloudEvents_", prefix): value for name, value in binary(subject="s").items()}

    envelope = event(b' {"a": 1}', headers | {"TraceParent": TRACEPARENT}, content_type)

    assert (envelope.id, envelope.source, envelope.type) == ("1", "shop", "page.scan.requested")
    assert (envelope.subject, envelope.version, envelope.correlation_id) == ("s", 1, "1")
    assert envelope.time == datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert envelope.data == b' {"a": 1}'
    assert envelope.traceparent == TRACEPARENT


def test_one_odd_header_does_not_hide_the_others() -> None:
    assert event(b"{}", {**binary(), "ce-subject": "s"}).subject == "s"


def test_http_headers_are_percent_decoded() -> None:
    headers = {f"ce-{name[12:]}": value for name, value in binary(subject="Euro%20%E2%82%AC").items()}

    assert event(b"{}", headers).subject == "Euro €"
    assert event(b"{}", binary(subject="100%25")).subject == "100%25"
    assert refused(b"{}", headers | {"ce-subject": "%ff"}).field == "subject"


@pytest.mark.parametrize(
    "content_type",
    [STRUCTURED, "application/cloudevents+json; charset=UTF-8", "Application/CloudEvents+JSON"],
)
def test_structured_mode_is_read(content_type: str) -> None:
    body = structured(type="page/scan.requested", correlationid="0", schemaversion=2, traceparent=TRACEPARENT)

    envelope = event(body, {"traceparent": "nonsense", "x-death": "9"}, content_type)

    assert (envelope.type, envelope.version, envelope.correlation_id) == ("page.scan.requested", 2, "0")
    assert envelope.data == b'{"a":1}'


def test_structured_data_may_be_base64() -> None:
    encoded = b64encode(b'{"a": 1}').decode()

    assert event(structured(data=..., data_base64=encoded), {}, STRUCTURED).data == b'{"a":1}'
    assert refused(structured(data=..., data_base64="%%"), {}, STRUCTURED).field == "data_base64"
    assert refused(structured(data_base64=encoded), {}, STRUCTURED).field == "data_base64"


def test_an_event_without_a_time_happened_when_it_arrived() -> None:
    assert abs(datetime.now(UTC) - event(b"{}", binary(time=None)).time) < timedelta(minutes=1)


def test_times_are_read_in_utc() -> None:
    time = event(b"{}", binary(time="2026-11-22T14:00:00.5+02:00")).time

    assert time.isoformat() == "2026-11-22T12:00:00.500000+00:00"
    assert time.tzinfo is UTC


def test_our_own_times_are_read_whatever_their_zone() -> None:
    envelope = Envelope(
        "1", "s", "a.b", datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-3))), b"{}", "1"
    )

    assert read(encode(envelope)) == envelope


@pytest.mark.parametrize("prefix", ["cloudEvents_", "ce-"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", None),
        ("source", None),
        ("type", None),
        ("specversion", None),
        ("id", ""),
        ("id", "x" * 256),
        ("id", "ü" * 128),
        ("source", "x" * 256),
        ("source", "a\0b"),
        ("id", "a\r\nb"),
        ("id", "\x1b[2J"),
        ("id", "\ud800"),
        ("id", b"\xff"),
        ("id", 5),
        ("id", {"a": 1}),
        ("specversion", "0.3"),
        ("specversion", "2.0"),
        ("type", "#"),
        ("type", "page.*"),
        ("type", "../etc/passwd"),
        ("type", "page..scan"),
        ("type", "x" * 300),
        ("type", "page scan"),
        ("time", "yesterday"),
        ("time", "2026-11-22"),
        ("time", "2026-11-22T12:00:00"),
        ("time", "0001-01-01T00:00:00+14:00"),
        ("time", "2026-13-45T12:00:00Z"),
        ("schemaversion", "0"),
        ("schemaversion", "-1"),
        ("schemaversion", "1.5"),
        ("schemaversion", "99999"),
        ("schemaversion", "9" * 5000),
        ("schemaversion", "²"),
        ("schemaversion", True),
        ("correlationid", "x" * 256),
        ("causationid", "a\0"),
        ("subject", "x" * 1025),
    ],
)
def test_a_bad_attribute_is_named(prefix: str, name: str, value: object) -> None:
    headers = {key.replace("cloudEvents_", prefix): found for key, found in binary(**{name: value}).items()}

    assert refused(b"{}", headers).field == name


@pytest.mark.parametrize("name", ["id", "source", "type", "specversion", "time", "data", "schemaversion"])
@pytest.mark.parametrize("value", [7.5, [], {"$": 1}, "a\u0001", True])
def test_a_bad_attribute_in_structured_mode_is_named(name: str, value: object) -> None:
    if name == "data" and isinstance(value, dict):
        value = [value]

    assert refused(structured(**{name: value}), {}, STRUCTURED).field == name


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "data"),
        (b"null", "data"),
        (b"[1]", "data"),
        (b'"x"', "data"),
        (b'{"a":"\xff"}', "data"),
        (b'\xef\xbb\xbf{"a":1}', "data"),
        (b"\x00{}", "data"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused_in_both_modes(body: bytes, field: str) -> None:
    assert refused(body, binary()).field == field
    assert refused(body, {}, STRUCTURED).field == field


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (structured()[:-1] + b',"id":"2"}', "id"),
        (structured(data={"x": 1}).replace(b'"x": 1', b'"x": 1, "x": 2'), "x"),
        (structured().replace(b'{"a": 1}', b'{"a": NaN}'), "data.a"),
        (structured().replace(b'{"a": 1}', b'{"a": "\\u0000"}'), "data.a"),
        (structured().replace(b'{"a": 1}', b'{"a": 99999999999999999999}'), "data.a"),
        (structured(data=...), "data"),
        (structured(datacontenttype="text/xml"), "datacontenttype"),
        (structured(datacontenttype=5), "datacontenttype"),
        (b'{"a":' * 100_000, "data"),
        (b"{", "data"),
    ],
)
def test_poison_in_structured_mode_is_named(body: bytes, field: str) -> None:
    assert refused(body, {}, STRUCTURED).field == field


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "application/cloudevents-batch+json", "x"]
)
def test_other_content_types_are_refused(content_type: str) -> None:
    assert refused(b"{}", binary(), content_type).field == "datacontenttype"


def test_an_attribute_given_twice_must_be_the_same() -> None:
    assert event(b"{}", {**binary(), "ce-id": "1"}).id == "1"
    assert refused(b"{}", {**binary(), "ce-id": "2"}).field == "id"


@pytest.mark.parametrize(
    "traceparent",
    [
        *("", "x", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "ff" + TRACEPARENT[2:], TRACEPARENT.upper()),
        *(TRACEPARENT[:-1], TRACEPARENT + "\n", TRACEPARENT + "-x", 5, b"x"),
    ],
)
def test_a_malformed_traceparent_is_left_out(traceparent: object) -> None:
    envelope = event(b"{}", {**binary(), "traceparent": traceparent, "tracestate": "a=b"})

    assert (envelope.traceparent, envelope.tracestate) == (None, None)


def test_a_malformed_tracestate_is_left_out_alone() -> None:
    envelope = event(b"{}", {**binary(), "traceparent": TRACEPARENT, "tracestate": "a\nb"})

    assert (envelope.traceparent, envelope.tracestate) == (TRACEPARENT, None)


def test_headers_that_lie_are_ignored() -> None:
    lies = {
        "x-death": [{"count": 99}],
        "attempt": "9",
        "retries": 9,
        "queue_name": "other",
        "x-delivery-count": 7,
    }

    assert event(b"{}", binary() | lies) == event(b"{}", binary())


def test_an_event_past_the_limit_is_refused_on_both_sides() -> None:
    large = b'{"a":"' + b"x" * MAX_BYTES + b'"}'
    with pytest.raises(EventTooLargeError, match="file store") as caught:
        decode(large, binary(), JSON)
    assert caught.value.field == "data"
    with pytest.raises(EventTooLargeError):
        encode(Envelope("1", "s", "a.b", datetime.now(UTC), large, "1"))
    with pytest.raises(EventTooLargeError):
        decode(b'{"a":1}', binary(), JSON, max_bytes=5)


def test_a_wake_up_goes_straight_to_its_queue_and_is_read_back() -> None:
    wake = WakeUp(uuid4(), uuid4())
    message = encode_wake("orders.generate", wake.run_id, wake.wake)

    assert (message.routing_key, message.direct, message.content_type) == ("orders.generate", True, WAKE)
    assert read(message) == wake


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"run_id": "x"}, "run_id"),
        ({"run_id": 5}, "run_id"),
        ({"wake": None}, "wake"),
        ({"wake": "{00000000-0000-0000-0000-000000000001}"}, "wake"),
        ({"wake": "00000000000000000000000000000001"}, "wake"),
        ({"more": 1}, "data"),
    ],
)
def test_a_wake_up_is_read_strictly(changes: dict[str, object], field: str) -> None:
    body = json.dumps({"run_id": str(UUID(int=1)), "wake": str(UUID(int=2)), **changes}).encode()

    assert refused(body, {}, WAKE).field == field


def test_a_wake_up_of_other_bytes_is_refused() -> None:
    assert refused(b"[]", {}, WAKE).field == "data"
    assert refused(b'{"run_id":"x"}', {}, WAKE).field == "data"


@given(
    body=st.binary(),
    headers=st.dictionaries(st.text(), st.text() | st.binary()),
    kind=st.sampled_from([JSON, STRUCTURED, WAKE]),
)
def test_no_bytes_break_the_decoder(body: bytes, headers: dict[str, object], kind: str) -> None:
    with pytest.raises(UndecodableError):
        decode(body, headers, kind)
