"""Match keys: how an event and those who wait for it find each other. A key is `path=value`, one for each plain field.

Both sides are read from the event as it is published (JSON), so that a UUID, a time or an enum has one text.
"""

from collections.abc import Iterator, Mapping
from zlib import crc32

from pydantic import JsonValue
from pydantic_core import to_jsonable_python

from broker.errors import ConfigurationError
from broker.keys import raw, rendered
from schemas import Event

Match = str | tuple[str, str] | Mapping[str, object] | None
"""What makes an awaited event ours: a field path that both events have, a pair (our path, its path), the values that its paths
must have, or None for any event of the type."""

MOST_KEYS = 256
"""Of one event. Real events have under thirty plain fields; what lies beyond in a free mapping cannot be matched on."""
BUCKETS = 64
"""Locks a type. An event takes those of all its keys, and PostgreSQL's lock table holds some thousands."""


def keys_of(event: Event) -> list[str]:
    """Every key that somebody may wait for it by; the empty one stands for any event of the type."""
    found = ["", *_leaves(event.model_dump(mode="json"), "")]
    return found[:MOST_KEYS]


def wanted_keys(match: Match, mine: Event, awaited: type[Event], where: str) -> list[str]:
    """The keys that an event must have to be the awaited one; the first one finds it. Raises ConfigurationError for a path
    that leads nowhere or to no plain value."""
    if match is None:
        return [""]
    if isinstance(match, Mapping):
        pairs = dict(match)
    else:
        ours, theirs = (match, match) if isinstance(match, str) else match
        raw(ours, type(mine))
        pairs = {theirs: _value_at(mine.model_dump(mode="json"), ours)}
    for path in pairs:
        raw(path, awaited)
    return sorted(_key(path, value, where) for path, value in pairs.items()) or [""]


def lock_number(type_: str, key: str) -> int:
    """The advisory lock under which an event of this type and its waiters look for each other."""
    return 0x77616974 << 32 | (crc32(type_.encode()) ^ crc32(key.encode()) % BUCKETS)


def _leaves(value: Mapping[str, JsonValue], prefix: str) -> Iterator[str]:
    for name, part in value.items():
        path = f"{prefix}{name}"
        if isinstance(part, dict):
            yield from _leaves(part, f"{path}.")
        elif part is not None and not isinstance(part, list):
            yield f"{path}={rendered(part)}"


def _key(path: str, value: object, where: str) -> str:
    plain = to_jsonable_python(value)
    if plain is None or isinstance(plain, dict | list):
        raise ConfigurationError(
            f"{where}: {path!r} is matched with {'nothing' if plain is None else 'a list or an object'}; "
            "match on a field that is text, a number, a UUID, a time or an enum, and is set"
        )
    return f"{path}={rendered(plain)}"


def _value_at(data: JsonValue, path: str) -> JsonValue:
    for step in path.split("."):
        data = data.get(step) if isinstance(data, dict) else None
    return data
