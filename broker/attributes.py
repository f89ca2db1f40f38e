"""CloudEvents attributes as they come in: their many spellings, and what each must be."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NoReturn
from urllib.parse import unquote

from broker.errors import UndecodableError
from schemas import type_fault

OWN = "cloudEvents_"
"""Our own prefix. AMQP's binding allows `:` too, which some brokers' header filters do not take."""

MAX_KEY_BYTES = 255
MAX_SUBJECT_BYTES = 1024
"""Longer than an id: subjects of others are object keys of file stores."""
MAX_VERSION = 32767

_NAMES = frozenset(
    {
        "specversion",
        "id",
        "source",
        "type",
        "time",
        "subject",
        "correlationid",
        "causationid",
        "schemaversion",
        "traceparent",
        "tracestate",
    }
)
_TRACE = ("traceparent", "tracestate")
_EXACT = frozenset({OWN + name for name in _NAMES} | set(_TRACE))
_PREFIXED = re.compile(r"(cloudevents[_:]|ce[-_])(.+)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}")


def in_our_spelling(headers: Mapping[str, object]) -> Mapping[str, object]:
    """Headers under our own names. Those that are no attribute are left out, whatever they claim."""
    if headers.keys() <= _EXACT:
        return headers
    found: dict[str, object] = {}
    for header, value in headers.items():
        match = _PREFIXED.fullmatch(header)
        name = (match[2] if match else header).lower()
        if name not in (_NAMES if match else _TRACE):
            continue
        # HTTP's binding percent-encodes what a header cannot carry.
        http = match is not None and match[1].lower() in ("ce-", "ce_")
        text = _unquoted(name, value) if http else value
        own = name if name in _TRACE else OWN + name
        if found.setdefault(own, text) != text:
            refuse(name, "is given twice, with different values")
    return found


def required(attributes: Mapping[str, object], name: str) -> str:
    value = optional(attributes, name)
    if not value:
        refuse(name, "is missing")
    return value


def optional(attributes: Mapping[str, object], name: str, max_bytes: int = MAX_KEY_BYTES) -> str | None:
    """None where it is not given. Empty counts as not given: some clients cannot leave a header out."""
    value = attributes.get(OWN + name)
    if value is None or value == "":
        return None
    if type(value) is str and len(value) <= max_bytes and value.isascii() and value.isprintable():
        return value
    text = _text(name, value)
    if len(text) > max_bytes or (not text.isascii() and len(text.encode(errors="replace")) > max_bytes):
        refuse(name, f"is longer than {max_bytes} bytes")
    if not text.isprintable() and _CONTROL.search(text):
        refuse(name, "holds a control character")
    return text


def told(headers: Mapping[str, object], name: str) -> str | None:
    """What the headers of an event say that could not be decoded: enough to look for it. None where they say nothing sound."""
    try:
        return optional(in_our_spelling(headers), name)
    except UndecodableError:
        return None


def event_type(name: str) -> str:
    fault = type_fault(name)
    if fault:
        refuse("type", fault)
    return name


def moment(text: str | None) -> datetime:
    """An RFC 3339 time in UTC. An event without one happened when it arrived."""
    if text is None:
        return datetime.now(UTC)
    time = _read_time(text)
    if time is None:
        refuse("time", "must be an RFC 3339 time with its zone")
    return time


def schema_version(attributes: Mapping[str, object]) -> int:
    value = attributes.get(OWN + "schemaversion")
    if value is None or value == "1":
        return 1
    text = str(value) if type(value) is int else _text("schemaversion", value)
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= MAX_VERSION):
        refuse("schemaversion", f"must be a whole number from 1 to {MAX_VERSION}")
    return int(text)


def trace(attributes: Mapping[str, object]) -> tuple[str | None, str | None]:
    """traceparent and tracestate. A malformed one is left out: W3C says so, and an event is worth more than
    its trace."""
    parent = attributes.get("traceparent") or attributes.get(OWN + "traceparent")
    if not isinstance(parent, str) or not _TRACEPARENT.fullmatch(parent):
        return None, None
    state = attributes.get("tracestate") or attributes.get(OWN + "tracestate")
    return parent, state if isinstance(state, str) and _TRACESTATE.fullmatch(state) else None


def refuse(field: str, message: str) -> NoReturn:
    raise UndecodableError(f"{field}: {message}", field=field)


def _read_time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is UTC:
            return time
        return time.astimezone(UTC) if time.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray):
        # A client library hands over bytes where the header was no valid UTF-8, or was sent as binary.
        try:
            return value.decode()
        except UnicodeDecodeError:
            refuse(name, "is not valid UTF-8")
    refuse(name, "must be text")


def _unquoted(name: str, value: object) -> object:
    if not isinstance(value, str) or "%" not in value:
        return value
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        refuse(name, "is not valid UTF-8")
