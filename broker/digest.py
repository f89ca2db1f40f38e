"""The digest of an event's data: the same for every spelling of the same JSON.

The rule it serves: the same (source, id) with another digest is parked as `id reused`. Our own publisher
repeats its bytes exactly, but others may write the keys in another order or with other white space when they
publish again, and that is no other event. So the canonical text is hashed, not the bytes. It costs a parse,
which is spent well: what is looked at here is also refused here (duplicate keys, depth, NUL, numbers that
cannot be kept)."""

import json
from hashlib import blake2b

from pydantic import JsonValue

from broker.errors import UndecodableError
from schemas import InvalidPayload, JsonObject, parse

DIGEST_BYTES = 16
"""128 bits: an accident between two payloads of one id is out of the question, and the row stays slim."""

_EXACT = 2**53
"""Up to here a float that is whole is the same number as the integer, and JavaScript writes it as one."""


def digest(data: bytes) -> bytes:
    """Raises UndecodableError naming the place, if this is no JSON object that can be kept."""
    return blake2b(canonical(read(data)).encode(), digest_size=DIGEST_BYTES).digest()


def canonical(value: JsonValue) -> str:
    """JSON with sorted keys, no white space and one spelling for every number."""
    text = _ENCODER.encode(value)
    return text if "." not in text and "e" not in text else _ENCODER.encode(_whole(value))


def read(data: bytes) -> JsonObject:
    """`schemas.parse`, with the error of this house."""
    try:
        return parse(data)
    except InvalidPayload as error:
        raise UndecodableError(str(error), field=error.fields[0]) from None


def _whole(value: JsonValue) -> JsonValue:
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _EXACT else value
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return value


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
