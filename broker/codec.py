"""The codec: events and wake-ups to wire messages and back. There is no other one.

Events travel as CloudEvents 1.0 in binary mode: the body is the JSON data, the attributes are headers
`cloudEvents_*`. Structured mode and the other prefixes that CloudEvents knows are read too. The body of a
binary message is not parsed here: that happens once, where it is validated."""

import binascii
import json
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from broker import attributes as read
from broker.attributes import OWN, refuse
from broker.digest import read as read_json
from broker.errors import EventTooLargeError, UndecodableError
from broker.transports.base import WireMessage
from schemas import Envelope, JsonObject, normalise

MAX_BYTES = 1024 * 1024
"""Of a message's body. RabbitMQ takes 16 MiB, but quorum queues keep three copies, and a queue of large
messages is what fills a broker; larger things go to a file store, and their address into the event."""

JSON = "application/json"
STRUCTURED = "application/cloudevents+json"
WAKE = "application/vnd.callboard.wake+json"


LATE = "callboard-late"
"""Header of a message that was kept on purpose (delayed, or replayed by somebody): its age is no reason to park it."""
PARENT = "callboard-parent"
"""Header of a message that another run has sent to invoke an actor: that run's id."""


@dataclass(frozen=True, slots=True)
class WakeUp:
    """Go on with a waiting run, if `wake` still is its current one."""

    run_id: UUID
    wake: UUID


def encode(envelope: Envelope, routing_key: str | None = None, *, max_bytes: int = MAX_BYTES) -> WireMessage:
    """The routing key is the event type unless given. Raises EventTooLargeError."""
    _refuse_large(envelope.data, max_bytes)
    headers = {
        "cloudEvents_specversion": "1.0",
        "cloudEvents_id": envelope.id,
        "cloudEvents_source": envelope.source,
        "cloudEvents_type": envelope.type,
        "cloudEvents_time": envelope.time.isoformat(),
        "cloudEvents_schemaversion": str(envelope.version),
        "cloudEvents_correlationid": envelope.correlation_id,
    }
    if envelope.subject is not None:
        headers["cloudEvents_subject"] = envelope.subject
    if envelope.causation_id is not None:
        headers["cloudEvents_causationid"] = envelope.causation_id
    if envelope.traceparent is not None:
        headers["traceparent"] = envelope.traceparent
    if envelope.tracestate is not None:
        headers["tracestate"] = envelope.tracestate
    return WireMessage(routing_key or envelope.type, envelope.data, headers)


def encode_wake(queue: str, run_id: UUID, wake: UUID) -> WireMessage:
    body = b'{"run_id":"%s","wake":"%s"}' % (str(run_id).encode(), str(wake).encode())
    return WireMessage(queue, body, {}, WAKE, direct=True)


def decode(
    body: bytes, headers: Mapping[str, object], content_type: str, *, max_bytes: int = MAX_BYTES
) -> Envelope | WakeUp:
    """What a delivery says. Raises UndecodableError naming the field at fault, or EventTooLargeError.

    The data of a binary message is looked at only from outside (UTF-8, an object); `schemas.validate` and
    `digest` read it."""
    _refuse_large(body, max_bytes)
    if content_type != JSON:
        content_type = content_type.partition(";")[0].strip().lower()
        if content_type == STRUCTURED:
            return _structured(body, headers)
        if content_type == WAKE:
            return _wake(body)
        if not _is_json(content_type):
            refuse("datacontenttype", "must be application/json")
    if body[:1] != b"{" and body.lstrip(b" \t\r\n")[:1] != b"{":
        refuse("data", "must be a JSON object")
    if not body.isascii():
        _refuse_not_utf8(body)
    return _envelope(read.in_our_spelling(headers), body)


def _is_json(content_type: str) -> bool:
    """No content type at all is taken for JSON. A batch is split where it comes in, over HTTP."""
    plain = content_type in ("", JSON) or content_type.endswith("+json")
    return plain and not content_type.startswith("application/cloudevents-batch")


def _envelope(attributes: Mapping[str, object], data: bytes) -> Envelope:
    if (
        attributes.get("cloudEvents_specversion") != "1.0"
        and read.required(attributes, "specversion") != "1.0"
    ):
        refuse("specversion", "must be 1.0")
    id = read.required(attributes, "id")
    traceparent, tracestate = read.trace(attributes)
    return Envelope(
        id,
        read.required(attributes, "source"),
        read.event_type(normalise(read.required(attributes, "type"))),
        read.moment(read.optional(attributes, "time")),
        data,
        read.optional(attributes, "correlationid") or id,
        read.schema_version(attributes),
        read.optional(attributes, "subject", read.MAX_SUBJECT_BYTES),
        read.optional(attributes, "causationid"),
        traceparent,
        tracestate,
    )


def _structured(body: bytes, headers: Mapping[str, object]) -> Envelope:
    event = read_json(body)
    data = _structured_data(event)
    transport = read.in_our_spelling(headers)
    trace = {name: transport[name] for name in ("traceparent", "tracestate") if name in transport}
    return _envelope({OWN + name: value for name, value in event.items()} | trace, data)


def _structured_data(event: JsonObject) -> bytes:
    encoded = event.pop("data_base64", None)
    data = event.pop("data", None)
    if encoded is not None:
        if data is not None or not isinstance(encoded, str):
            refuse("data_base64", "must be text, and the only data")
        try:
            data = read_json(b64decode(encoded, validate=True))
        except (binascii.Error, ValueError):
            refuse("data_base64", "is not base64")
    if not isinstance(data, dict):
        refuse("data", "must be a JSON object")
    content_type = event.get("datacontenttype", JSON)
    if not isinstance(content_type, str) or content_type.partition(";")[0].strip().lower() != JSON:
        refuse("datacontenttype", "must be application/json")
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def _wake(body: bytes) -> WakeUp:
    message = read_json(body)
    if message.keys() != {"run_id", "wake"}:
        refuse("data", "of a wake-up must be run_id and wake")
    return WakeUp(_uuid(message, "run_id"), _uuid(message, "wake"))


def _uuid(message: JsonObject, field: str) -> UUID:
    text = message[field]
    try:
        value = UUID(text) if isinstance(text, str) else None
    except ValueError:
        value = None
    if value is None or str(value) != text:
        refuse(field, "must be a UUID in its usual form")
    return value


def _refuse_large(data: bytes, max_bytes: int) -> None:
    if len(data) > max_bytes:
        raise EventTooLargeError(
            f"data: {len(data)} bytes are more than the {max_bytes} allowed; "
            "put the content into a file store and publish its address",
            field="data",
        )


def _refuse_not_utf8(body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise UndecodableError(f"data: is not valid UTF-8 (byte {error.start})", field="data") from None
