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


def digest(data: bytes) -> bytes:
    """Raises UndecodableError naming the place, if this is no JSON object that can be kept."""
    value = read(data, whole_numbers=True)
    return blake2b(canonical(value).encode(), digest_size=DIGEST_BYTES).digest()


def canonical(value: JsonValue) -> str:
    """JSON with sorted keys and no white space."""
    return _ENCODER.encode(value)


def read(data: bytes, *, whole_numbers: bool = False) -> JsonObject:
    """`schemas.parse`, with the error of this house."""
    try:
        return parse(data, whole_numbers=whole_numbers)
    except InvalidPayload as error:
        raise UndecodableError(str(error), field=error.fields[0]) from None


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
