"""Results as they are journaled: a step's value to JSON and back by its annotation, and what a body returned, taken apart."""

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from broker.errors import CodeChangedError, ConfigurationError, InvalidEventError
from broker.journal.claimed import StoredStep
from broker.outcomes import Result
from broker.telling import describe
from schemas import Event

_ADAPTERS: dict[object, TypeAdapter[Any]] = {}


def _adapter(fn: Callable[..., Any] | None) -> TypeAdapter[Any] | None:
    """For the function's return annotation; None where it has none (then the value must be plain JSON)."""
    if fn is None:
        return None
    function = inspect.unwrap(fn.func if isinstance(fn, functools.partial) else getattr(fn, "__func__", fn))
    code = getattr(
        function, "__code__", function
    )  # shared by all closures of one `def`, which come and go with their runs
    if code not in _ADAPTERS:
        annotation = (
            get_type_hints(function).get("return", Any) if hasattr(function, "__annotations__") else Any
        )
        _ADAPTERS[code] = TypeAdapter(annotation)
    return _ADAPTERS[code]


def write_result(value: object, fn: Callable[..., Any] | None, where: str) -> str:
    try:
        adapter = _adapter(fn)
        text = (adapter.dump_json(value, warnings="error") if adapter else to_json(value)).decode()
    except (PydanticSerializationError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{where}: its result cannot be journaled ({type(error).__name__}); annotate the function's return type with what "
            "it returns: JSON values, pydantic models or dataclasses"
        ) from error
    if "\\u0000" in text:
        raise InvalidEventError(f"{where}: its result holds a NUL character, which PostgreSQL does not keep")
    return text


def read_result(stored: StoredStep, fn: Callable[..., Any] | None, where: str) -> Any:
    adapter = _adapter(fn) or TypeAdapter(Any)
    try:
        return adapter.validate_json(stored.result or "null")
    except ValidationError as error:
        raise CodeChangedError(
            f"{where}: the stored result no longer fits its return type: {describe(error)}"
        ) from None


def split(returned: object, actor: str) -> tuple[BaseModel | None, Iterable[Event]]:
    if returned is None:
        return None, ()
    if isinstance(returned, Event):
        return None, (returned,)
    if isinstance(returned, Result):
        return returned.value, returned.publish
    if isinstance(returned, BaseModel):
        return returned, ()
    if isinstance(returned, Sequence) and all(isinstance(item, Event) for item in returned):
        return None, returned
    raise ConfigurationError(
        f"{actor} returned {type(returned).__name__}: return an Event, a list of Events, a pydantic model, Result(…) or None"
    )
