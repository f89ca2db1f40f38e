"""Actors as an author declares them: a function, the events it hears and says, and its policies. Declaring does nothing else.

`ops/boot.py` binds declarations to a broker; until then an actor is a value that can be called in a test.
"""

import difflib
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import (
    Any,
    Generic,
    Never,
    Protocol,
    overload,
)

from pydantic import BaseModel, TypeAdapter
from typing_extensions import TypeVar

from broker.backoff import Backoff
from broker.errors import ConfigurationError
from broker.gathering import Batch, Debounce
from broker.keys import Key
from broker.outcomes import Result
from broker.policies import CancelOn, Concurrency, Idempotency, Policies, RateLimit, Singleton, Throttle
from broker.run.asynchronous import AsyncRun
from broker.run.synchronous import Run
from broker.signature import awaited, members, name_of, result_of, signature
from broker.waiting import Invocable
from schemas import Event

In = TypeVar("In", bound=Event, contravariant=True)
Out = TypeVar("Out", bound=Event, covariant=True)
Next = TypeVar("Next", bound=Event)
E_ = TypeVar("E_", bound=Event)
O_ = TypeVar("O_", bound=Event)
Gives = TypeVar("Gives", covariant=True, default=Any)
"""What invoking an actor gives: the model it returns, None for one that returns events or nothing."""
V_ = TypeVar("V_")
M_ = TypeVar("M_", bound=BaseModel | None)

OPTIONS = (
    "retry",
    "time_limit",
    "deadline",
    "max_age",
    "throttle",
    "rate_limit",
    "concurrency",
    "singleton",
    "priority",
    "idempotency",
    "debounce",
    "batch",
    "cancel_on",
    "publishes",
    "waits_for",
    "title",
    "aliases",
    "on_failure",
    "options",
)


class Actor(Invocable[In, Gives], Generic[In, Out, Gives]):
    """A declared actor. `name` = path = queue = span.

    `In` is the event (or union) it hears, `Out` what it returns: `scan | analyze` is checked by the type checker and at boot.
    `Gives` is the result that `run.invoke` has of it.
    """

    def __init__(self, fn: Callable[..., object], policies: Policies, **facts: Any) -> None:
        self.fn = fn
        self.name, self.domain = name_of(fn)
        self.title: str = facts.get("title") or self.name
        self.aliases: tuple[str, ...] = tuple(facts.get("aliases") or ())
        self.on_failure: Actor[Any, Any] | None = facts.get("on_failure")
        self.policies = policies
        self._chosen: Mapping[str, Any] = facts.get("chosen") or {}
        self.asynchronous = inspect.iscoroutinefunction(fn)
        self.hears, returned = signature(fn, self.name, self.asynchronous)
        self.returns = tuple(kind for kind in members(returned) if isinstance(kind, type))
        self.result: TypeAdapter[Any] = TypeAdapter(result_of(returned))
        self.waits_for: tuple[type[Event], ...] = awaited(facts.get("waits_for") or (), self.name)
        self.publishes: tuple[type[Event], ...] = tuple(
            dict.fromkeys(
                (*[kind for kind in self.returns if issubclass(kind, Event)], *(facts.get("publishes") or ()))
            )
        )

    @property
    def recorded(self) -> tuple[type[Event], ...]:
        """Events that are kept for its runs: what they wait for, and what cancels them."""
        return (*self.waits_for, *(each.event for each in self.policies.cancelled_by))

    def with_defaults(self, defaults: Policies) -> None:
        """Take these policies where the actor says nothing itself. Raises ConfigurationError if one does not fit its events."""
        self.policies = replace(defaults, **self._chosen)
        self.policies.check(self.name, self.hears)

    def __or__(self, other: "Actor[Out, Next, Any]") -> "Chain[In, Next]":
        return Chain((self, other))

    def __repr__(self) -> str:
        return f"Actor({self.name})"


class Chain(Generic[In, Out]):
    """Actors joined by `|`, first to last."""

    def __init__(self, actors: Sequence[Actor[Any, Any]]) -> None:
        self.actors = tuple(actors)

    def __or__(self, other: Actor[Out, Next, Any]) -> "Chain[In, Next]":
        return Chain((*self.actors, other))


class Declare(Protocol):
    """The decorator that `@actor(…)` returns. What comes out is the event type of the return annotation."""

    @overload
    def __call__(self, fn: Callable[[E_, Run], O_ | None]) -> Actor[E_, O_, None]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, fn: Callable[[E_, Run], Sequence[O_]]) -> Actor[E_, O_, None]: ...
    @overload
    def __call__(self, fn: Callable[[E_, Run], Result[V_, O_]]) -> Actor[E_, O_, V_]: ...
    @overload
    def __call__(self, fn: Callable[[E_, Run], M_]) -> Actor[E_, Never, M_]: ...
    @overload
    def __call__(self, fn: Callable[[E_, AsyncRun], Awaitable[O_ | None]]) -> Actor[E_, O_, None]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, fn: Callable[[E_, AsyncRun], Awaitable[Sequence[O_]]]) -> Actor[E_, O_, None]: ...
    @overload
    def __call__(self, fn: Callable[[E_, AsyncRun], Awaitable[Result[V_, O_]]]) -> Actor[E_, O_, V_]: ...
    @overload
    def __call__(self, fn: Callable[[E_, AsyncRun], Awaitable[M_]]) -> Actor[E_, Never, M_]: ...


def actor(
    *,
    retry: Backoff | None = None,
    time_limit: timedelta | None = None,
    deadline: timedelta | None = None,
    max_age: timedelta | None = None,
    throttle: Throttle | None = None,
    rate_limit: RateLimit | None = None,
    concurrency: Concurrency | None = None,
    singleton: Singleton | None = None,
    priority: Key | None = None,
    idempotency: Idempotency | None = None,
    debounce: Debounce | None = None,
    batch: Batch | None = None,
    cancel_on: CancelOn | Sequence[CancelOn] | None = None,
    publishes: Sequence[type[Event]] = (),
    waits_for: Sequence[type[Event]] = (),
    title: str | None = None,
    aliases: Sequence[str] = (),
    on_failure: Actor[Any, Any] | None = None,
    options: Mapping[str, object] | None = None,
    **misspelt: Never,
) -> Declare:
    """Declare a function as an actor.

    The first parameter's annotation is the trigger (a union hears several types); the return annotation and `publishes` say
    what comes out; `waits_for` names the events that its body waits for. `aliases` keep a renamed actor's identity. Raises
    ConfigurationError for an unknown option, a missing annotation, a key path the event does not have, or a limit that is not
    positive.
    """
    for name in misspelt:
        near = difflib.get_close_matches(name, OPTIONS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"options are: {', '.join(OPTIONS)}"
        raise ConfigurationError(f"@actor got an unknown option {name!r}; {hint}")
    wanted: dict[str, Any] = {
        "retry": retry,
        "time_limit": time_limit,
        "deadline": deadline,
        "max_age": max_age,
        "throttle": throttle,
        "rate_limit": rate_limit,
        "concurrency": concurrency,
        "singleton": singleton,
        "priority": priority,
        "idempotency": idempotency,
        "debounce": debounce,
        "batch": batch,
        "cancel_on": cancel_on,
        "options": dict(options) if options else None,
    }
    chosen = {name: value for name, value in wanted.items() if value is not None}

    def declare(fn: Callable[..., Any]) -> Actor[Any, Any]:
        made: Actor[Any, Any] = Actor(
            fn,
            Policies(**chosen),
            chosen=chosen,
            title=title,
            aliases=aliases,
            on_failure=on_failure,
            publishes=publishes,
            waits_for=waits_for,
        )
        made.policies.check(made.name, made.hears)
        return made

    return declare
