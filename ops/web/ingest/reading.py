"""From a request's body to envelopes: CloudEvents in binary, structured or batch mode, and the plain form of SDKs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.datastructures import Headers

from broker.codec import STRUCTURED, WakeUp, decode
from broker.errors import EventTooLargeError, UndecodableError
from ops.web.ingest.faults import Fault, RefusedError, invalid, undecodable
from schemas import Envelope, InvalidPayload, UnknownType, UnknownVersion, normalise, parse, uuid7, validate

BATCH = "application/cloudevents-batch+json"
MOST_EVENTS = 1000
"""In one request: they are one commit."""


class Reading:
    """Reads for one house: `max_bytes` of one event's data, `window` in which events are remembered."""

    def __init__(self, max_bytes: int, window: timedelta) -> None:
        self._max_bytes = max_bytes
        self._window = window

    def cloud_events(self, body: bytes, headers: Headers) -> list[Envelope]:
        """One event, or those of a batch. Raises RefusedError naming every fault of every event."""
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == BATCH:
            items = [_json(item) for item in _list(body)]
            found = [self._decoded(item, {}, STRUCTURED, f"[{place}].") for place, item in enumerate(items)]
        else:
            found = [self._decoded(body, _once(headers), kind, "")]
        return self._checked(found)

    def plain(self, body: bytes, source: str) -> list[Envelope]:
        """`{name, data, id, ts}`, or a list of these. Raises RefusedError."""
        several = body.lstrip()[:1] == b"["
        items = _list(body) if several else [_object(body)]
        return self._checked(
            [_plain(item, source, f"[{place}]." if several else "") for place, item in enumerate(items)]
        )

    def _decoded(self, body: bytes, headers: Mapping[str, str], kind: str, at: str) -> Envelope | list[Fault]:
        try:
            found = decode(body, headers, kind, max_bytes=self._max_bytes)
        except EventTooLargeError as error:
            raise RefusedError(413, "too_large", f"{at}{error}") from None
        except UndecodableError as error:
            if error.field == "datacontenttype":
                raise RefusedError(415, "content_type", str(error), [undecodable(error, at)]) from None
            return [undecodable(error, at)]
        if isinstance(found, WakeUp):
            raise RefusedError(
                415, "content_type", "content-type: must be application/json or a CloudEvent's"
            )
        return found

    def _checked(self, found: Sequence[Envelope | list[Fault]]) -> list[Envelope]:
        faults: list[Fault] = []
        envelopes: list[Envelope] = []
        for place, each in enumerate(found):
            at = f"[{place}]." if len(found) > 1 else ""
            wrong = each if isinstance(each, list) else list(self._faults(each, at))
            faults += wrong
            if isinstance(each, Envelope) and not wrong:
                envelopes.append(each)
        if faults:
            raise RefusedError(422, "invalid", "nothing was published", faults)
        return envelopes

    def _faults(self, envelope: Envelope, at: str) -> Iterator[Fault]:
        """As a worker would find them; here the sender hears of them."""
        try:
            parse(envelope.data, whole_numbers=True)
            validate(envelope.type, envelope.version, envelope.data)
        except UnknownType:
            yield Fault(f"{at}type", "no event of this type is declared here")
        except UnknownVersion as error:
            yield Fault(f"{at}schemaversion", str(error))
        except InvalidPayload as error:
            yield from invalid(error, at)
        if datetime.now(UTC) - envelope.time > self._window:
            yield Fault(
                f"{at}time", f"is older than {self._window.days} days: whether it was done is forgotten"
            )


def _list(body: bytes) -> list[Any]:
    """Read as strictly as any payload. Raises RefusedError."""
    try:
        found = parse(b'{"batch":' + body + b"}", whole_numbers=True)["batch"]
    except InvalidPayload as error:
        raise RefusedError(
            422, "invalid", "nothing was published", [Fault("", rule) for _, rule in error.faults]
        ) from None
    if not isinstance(found, list) or not 1 <= len(found) <= MOST_EVENTS:
        raise RefusedError(422, "invalid", f"a batch is a list of 1 to {MOST_EVENTS} events")
    return found


def _object(body: bytes) -> dict[str, Any]:
    try:
        return parse(body, whole_numbers=True)
    except InvalidPayload as error:
        raise RefusedError(422, "invalid", "nothing was published", invalid(error, "")) from None


def _json(item: object) -> bytes:
    return json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode()


def _once(headers: Headers) -> dict[str, str]:
    """An attribute that is given twice must say the same. Raises RefusedError."""
    for name in set(headers):
        if name.startswith("ce-") and len(set(headers.getlist(name))) > 1:
            raise RefusedError(
                422,
                "invalid",
                "nothing was published",
                [Fault(name[3:], "is given twice, with different values")],
            )
    return dict(headers)


def _plain(item: object, source: str, at: str) -> Envelope | list[Fault]:
    if not isinstance(item, dict):
        return [Fault(at.rstrip("."), "must be an object")]
    name, data, id, ts = item.get("name"), item.get("data", {}), item.get("id"), item.get("ts")
    faults: list[Fault] = []
    if not isinstance(name, str):
        faults.append(Fault(f"{at}name", "must be text"))
    if not isinstance(data, dict):
        faults.append(Fault(f"{at}data", "must be an object"))
    if id is not None and not (isinstance(id, str) and 1 <= len(id.encode()) <= 255 and id.isprintable()):
        faults.append(Fault(f"{at}id", "must be 1 to 255 bytes of printable text"))
    time = _moment(ts)
    if time is None:
        faults.append(Fault(f"{at}ts", "must be milliseconds since 1970"))
    if faults or time is None:
        return faults
    own = id or str(uuid7())
    return Envelope(own, source, normalise(str(name)), time, _json(data), own)


def _moment(milliseconds: object) -> datetime | None:
    if milliseconds is None:
        return datetime.now(UTC)
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float) or milliseconds < 0:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
