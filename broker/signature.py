"""What the signature of an actor's function says: its name, the events that it hears and returns, its result."""

import inspect
import types
from collections.abc import Callable, Sequence
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from broker.errors import ConfigurationError
from broker.outcomes import Result
from broker.run.asynchronous import AsyncRun
from broker.run.synchronous import Run
from schemas import Event


def name_of(fn: Callable[..., object]) -> tuple[str, str]:
    """Name and domain from the module path: `acme.actors.orders.generate` → `orders.generate`, `orders`.

    Outside an `actors` room (a test, a notebook) the name is `<last module segment>.<function>`.
    """
    parts = fn.__module__.split(".")
    function = getattr(fn, "__name__", "")
    if "actors" not in parts[:2] or parts[0] == "tests":
        return f"{parts[-1].strip('_')}.{function}", parts[-1]
    inside = parts[parts.index("actors") + 1 :]
    if len(inside) != 2 or inside[1] != function:
        raise ConfigurationError(
            f"{fn.__module__}.{function}: an actor lives in actors/<domain>/<verb>.py and its function is named <verb>"
        )
    return ".".join(inside), inside[0]


def signature(
    fn: Callable[..., object], name: str, asynchronous: bool
) -> tuple[tuple[type[Event], ...], object]:
    """The event types heard, and what stands behind the arrow."""
    try:
        hints = get_type_hints(fn)
    except NameError as error:
        raise ConfigurationError(f"actor {name}: annotation cannot be resolved: {error}") from error
    parameters = list(inspect.signature(fn).parameters)
    wanted = AsyncRun if asynchronous else Run
    if len(parameters) != 2 or hints.get(parameters[1]) is not wanted:
        raise ConfigurationError(f"actor {name}: write it as ({'event: YourEvent'}, run: {wanted.__name__})")
    heard = members(hints.get(parameters[0]))
    if not heard or not all(isinstance(kind, type) and issubclass(kind, Event) for kind in heard):
        raise ConfigurationError(f"actor {name}: annotate its first parameter with the Event it hears")
    for kind in heard:
        if getattr(kind, "event_type", None) is None:
            raise ConfigurationError(
                f"actor {name}: {kind.__name__} declares no type=…, so nothing can be published as it"
            )
    return tuple(heard), hints.get("return")


def awaited(kinds: Sequence[type[Event]], name: str) -> tuple[type[Event], ...]:
    for kind in kinds:
        if getattr(kind, "event_type", None) is None:
            raise ConfigurationError(
                f"actor {name}: waits_for {kind.__name__}, which declares no type=…, so nothing can come as it"
            )
    return tuple(kinds)


def result_of(annotation: object) -> Any:
    """`Model | None` → itself, `Result[X, A]` → X; None for events and nothing."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        found = [result_of(part) for part in get_args(annotation)]
        return Union[tuple(found)]  # noqa: UP007  the members are known at run time only
    if origin is Result:
        return get_args(annotation)[0]
    if not isinstance(annotation, type) or issubclass(annotation, Event):
        return None
    return annotation if issubclass(annotation, BaseModel) else None


def members(annotation: object) -> list[Any]:
    """`A | list[B] | None` → [A, B]; `Result[X, A]` → [A]."""
    if annotation is None or annotation is type(None):
        return []
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return [member for part in get_args(annotation) for member in members(part)]
    if origin is Result:
        return members(get_args(annotation)[1])
    if origin is not None and isinstance(origin, type) and issubclass(origin, Sequence):
        return members(get_args(annotation)[0])
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []
