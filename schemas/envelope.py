"""The envelope around an event: CloudEvents' id, source, type, subject and time, and the story it is in."""

from dataclasses import dataclass
from datetime import UTC, datetime

from .errors import DeclarationError, InvalidPayload
from .event import Event
from .ids import uuid7

MAX_ID_BYTES = 255
"""Of an id or a source: they are keys of an index together."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """One event as it travels and as it is kept. `data` is its JSON, `correlation_id` the id of the first
    event of the story, `causation_id` that of the event that caused this one (None for the first)."""

    id: str
    source: str
    type: str
    time: datetime
    data: bytes
    correlation_id: str
    version: int = 1
    subject: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None


def wrap(
    event: Event,
    *,
    source: str,
    id: str | None = None,
    subject: str | None = None,
    correlation_id: str | None = None,
    causation_id: str | None = None,
    traceparent: str | None = None,
    tracestate: str | None = None,
    time: datetime | None = None,
) -> Envelope:
    """Put an event into an envelope. The id is a new UUIDv7, the correlation the id itself, the time now,
    unless given.

    Raises InvalidPayload for an id or source that cannot be a key, DeclarationError for an abstract event.
    """
    kind = type(event)
    if not hasattr(kind, "event_type"):
        raise DeclarationError(f"{kind.__module__}.{kind.__qualname__} has no type=: it cannot be published")
    if id is None:
        id = str(uuid7())
    _refuse_key("id", id)
    _refuse_key("source", source)
    return Envelope(
        id=id,
        source=source,
        type=kind.event_type,
        time=_aware(time) if time else datetime.now(UTC),
        data=event.model_dump_json().encode(),
        correlation_id=correlation_id or id,
        version=kind.event_version,
        subject=subject,
        causation_id=causation_id,
        traceparent=traceparent,
        tracestate=tracestate,
    )


def _refuse_key(field: str, value: str) -> None:
    size = len(value) if value.isascii() else len(value.encode(errors="replace"))
    if not 1 <= size <= MAX_ID_BYTES or not value.isprintable():
        raise InvalidPayload(f"{field}: must be 1 to {MAX_ID_BYTES} bytes of printable text", [field])


def _aware(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise InvalidPayload("time: must have a time zone", ["time"])
    return time
