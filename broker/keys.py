"""Keys: what makes two events count as the same for a policy, given as a field path (`"order.id"`) or a
function."""

import difflib
import types
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from functools import lru_cache, partial
from hashlib import blake2b
from operator import attrgetter
from typing import Annotated, Any, Union, get_args, get_origin
from uuid import UUID

from pydantic import AnyUrl, BaseModel
from pydantic_core import Url, to_jsonable_python

from broker.digest import canonical
from broker.errors import ConfigurationError
from schemas import Event

Key = str | Callable[[Event], object]

MAX_KEY_BYTES = 255
"""What a key may have in an index; longer ones are replaced by their hash."""

_PLAIN = (int, float, Decimal, UUID, AnyUrl, Url)


def resolve(key: Key, *heard: type[Event]) -> Callable[[Event], str]:
    """The function from an event to its key, for an actor that hears these types: every one of them must have
    the path.

    Raises ConfigurationError, naming the fields there are, where a path leads nowhere."""
    found = raw(key, *heard)
    return lambda event: rendered(found(event))


def raw(key: Key, *heard: type[Event]) -> Callable[[Event], object]:
    """As `resolve`, but the function gives the value itself."""
    if not isinstance(key, str):
        return key
    steps = key.split(".")
    for cls in heard:
        _check(key, steps, cls)
    return attrgetter(key) if len(steps) == 1 else partial(_walked, steps)


@lru_cache(maxsize=1024)
def key_function(key: Key | None, heard: tuple[type[Event], ...]) -> Callable[[Event], str]:
    """As `resolve`, made once. Without a key all events have the same one."""
    return (lambda _event: "") if key is None else resolve(key, *heard)


@lru_cache(maxsize=1024)
def raw_function(key: Key, heard: tuple[type[Event], ...]) -> Callable[[Event], object]:
    """As `raw`, made once."""
    return raw(key, *heard)


def rendered(value: object) -> str:
    """A value as the text of a key: the same in every process and for ever. None is the empty text.

    Raises TypeError for values that have no stable text.
    """
    text = value if type(value) is str else _text(value)
    if text.isprintable() and len(text.encode()) <= MAX_KEY_BYTES:
        return text
    return "blake2b:" + blake2b(text.encode(errors="surrogatepass"), digest_size=32).hexdigest()


def _walked(steps: list[str], event: Event) -> object:
    value: object = event
    for step in steps:
        value = _step(value, step)
    return value


def _step(value: object, name: str) -> object:
    """One step down; an optional part that is missing makes the whole key None."""
    if value is None:
        return None
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum):
        return _text(value.value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, _PLAIN):
        return str(value)
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, BaseModel | list | tuple | Mapping):
        return canonical(to_jsonable_python(value))
    raise TypeError(
        f"a key must be text, a number, a UUID, a time, an enum, or JSON of these, not {type(value).__name__}"
    )


def _check(path: str, steps: list[str], cls: type[Event]) -> None:
    """Walk the path through the annotations."""
    kinds: list[Any] = [cls]
    for step in steps:
        kinds = [found for kind in kinds for found in _below(kind, step, path, cls)]


def _below(kind: Any, step: str, path: str, cls: type[Event]) -> list[Any]:
    """The types that `step` may lead to. A free mapping has every key."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = kind.model_fields
        if step not in fields:
            raise _nowhere(path, step, cls, kind, list(fields))
        return _members(fields[step].annotation)
    if isinstance(get_origin(kind) or kind, type) and issubclass(get_origin(kind) or kind, Mapping):
        return _members((get_args(kind) or (Any, Any))[1])
    raise ConfigurationError(f"key {path!r}: {cls.__name__} has nothing below {step!r}: it is a plain value")


def _members(annotation: Any) -> list[Any]:
    """A union's members but None, seen through Annotated and type aliases."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [found for member in get_args(annotation) for found in _members(member)]
    return [] if annotation is type(None) else [annotation]


def _nowhere(
    path: str, step: str, cls: type[Event], kind: type[BaseModel], fields: list[str]
) -> ConfigurationError:
    near = difflib.get_close_matches(step, fields, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    place = cls.__name__ if kind is cls else f"{cls.__name__}: {kind.__name__}"
    return ConfigurationError(
        f"key {path!r}: {place} has no field {step!r}.{hint} It has: {', '.join(fields)}."
    )
