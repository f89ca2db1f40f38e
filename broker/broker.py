"""The dramatiq broker: actors bound to the transport, and the policies in their one order."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar
from uuid import UUID

import dramatiq
from dramatiq.broker import Broker
from dramatiq.middleware import MiddlewareError

from broker.actor import Actor
from broker.errors import ConfigurationError
from broker.journal.intents import Record
from broker.middleware.backoff import Backoff
from broker.middleware.base import Policy
from broker.middleware.cancel_on import CancelOn
from broker.middleware.concurrency import Concurrency
from broker.middleware.deadline import Deadline
from broker.middleware.fold import Fold
from broker.middleware.idempotency import Idempotency
from broker.middleware.max_age import MaxAge
from broker.middleware.pause import Pause
from broker.middleware.rate_limit import RateLimit
from broker.middleware.singleton import Singleton
from broker.middleware.throttle import Throttle
from broker.middleware.time_limit import TimeLimit
from broker.middleware.trace import Trace
from broker.topology import DEFAULT_NAMESPACE, Topology, queue_of, topology
from broker.waiting import Invocable
from broker.work import Work
from schemas import Event

P = TypeVar("P", bound=Policy)


def standard_policies() -> list[Policy]:
    """Outermost first. Trace sees everything. Doors stand in the order in which they may refuse: what is too late needs no key; a
    duplicate uses up no start, and is not gathered; many events that are one run are one start; what is paused uses
    up none; a start that is dropped holds no
    slot; a slot comes before the start rate, so that a start is counted when it happens; what cancels a run is noted for those
    that none has dropped. The time limit is the innermost around the body; backoff decides about whatever came out."""
    keys, limits = [Idempotency(), Singleton()], [RateLimit(), Concurrency(), Throttle()]
    doors = [MaxAge(), Deadline(), *keys, Fold(), Pause(), *limits, CancelOn()]
    return [Trace(), *doors, TimeLimit(), Backoff()]


class HookError(MiddlewareError):
    """A before hook broke. dramatiq would log it and run the actor: the door closes instead."""


class BoundActor(dramatiq.Actor[..., None]):
    """An actor on a broker. Its call is the one place where an error cannot be lost; the guarantees live there."""

    def __init__(self, declared: Actor[Any, Any], broker: "CallboardBroker") -> None:
        self.declared = declared
        self.house = broker
        super().__init__(
            broker.perform,
            broker=broker,
            actor_name=declared.name,
            queue_name=declared.name,
            priority=0,
            options=dict(declared.policies.options),
        )

    def __call__(self, work: Work) -> None:
        """Perform the run and hand its outcome to the journal; raises the body's error after that, for after-hooks."""
        self.house.perform(work)


class CallboardBroker(Broker):
    """Holds actors and policies; the engine gives it its transport and performer."""

    def __init__(self, namespace: str, middleware: Sequence[dramatiq.Middleware] = ()) -> None:
        self.namespace = namespace
        self.declared: dict[str, Actor[Any, Any]] = {}
        self.perform: Callable[[Work], None] = _not_started
        self.records_full: Callable[[], bool] = lambda: False
        self.transaction_recorded: Callable[[Record, bool], None] = lambda _record, _held: None
        self.transaction_doubted: Callable[[Record], None] = lambda _record: None
        super().__init__(middleware=[*standard_policies(), *middleware])
        self.queues = {}

    @property
    def policies(self) -> list[Policy]:
        return [m for m in self.middleware if isinstance(m, Policy)]

    def policy(self, kind: type[P]) -> P:
        """The first policy of a kind. Raises ConfigurationError when it was removed."""
        for middleware in self.middleware:
            if isinstance(middleware, kind):
                return middleware
        raise ConfigurationError(f"the middleware list has no {kind.__name__}: put it back")

    def bind(self, actors: Iterable[Actor[Any, Any]]) -> None:
        """Declare actors. Raises ConfigurationError for two of one name and for options that no middleware reads."""
        for actor in actors:
            if (other := self.declared.get(actor.name)) is not None and other is not actor:
                raise ConfigurationError(
                    f"two actors are named {actor.name}: {other.fn.__module__} and {actor.fn.__module__}"
                )
            unknown = set(actor.policies.options) - self.actor_options
            if unknown:
                raise ConfigurationError(
                    f"actor {actor.name}: no middleware reads the option {', '.join(sorted(unknown))}; "
                    f"known are {', '.join(sorted(self.actor_options))}"
                )
            if actor.name not in self.declared:
                self.declared[actor.name] = actor
                BoundActor(actor, self)

    def declare_queue(self, queue_name: str) -> None:
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues[queue_name] = None
            self.emit_after("declare_queue", queue_name)

    def emit_before(self, signal: str, *args: Any, **kwargs: Any) -> None:
        """As dramatiq's, but an ordinary error in a `process_message` hook refuses the run instead of being logged."""
        if signal != "process_message":
            return super().emit_before(signal, *args, **kwargs)
        for middleware in self.middleware:
            try:
                middleware.before_process_message(self, *args, **kwargs)
            except MiddlewareError:
                raise
            except Exception as error:
                raise HookError(
                    f"{type(middleware).__name__}.before_process_message: {type(error).__name__}"
                ) from error

    def topology(self) -> Topology:
        """Queues and bindings of the declared actors; a renamed actor's old queues are still consumed, but no longer bound.

        An event's aliases are bound too: a stranger who says `page/scan.requested` uses it as the routing key.
        """
        hears = {
            name: [key for kind in actor.hears for key in names_of(kind)]
            for name, actor in self.declared.items()
        }
        awaited = [key for a in self.declared.values() for kind in a.recorded for key in names_of(kind)]
        return topology(
            self.namespace,
            {**{alias: [] for a in self.declared.values() for alias in a.aliases}, **hears},
            awaited,
        )

    def queue_of(self, actor: Actor[Any, Any]) -> str:
        return queue_of(self.namespace, actor.name)

    def queue_to_invoke(self, actor: Invocable[Any, Any]) -> str:
        """Raises ConfigurationError for an actor that no worker of this application performs."""
        if actor.name not in self.declared:
            raise ConfigurationError(
                f"{actor.name} is invoked and is not loaded: put its file under actors/<domain>/, "
                "or name its package in CALLBOARD_APPS"
            )
        return queue_of(self.namespace, actor.name)

    def actor_of_queue(self, queue: str) -> Actor[Any, Any] | None:
        """The actor that consumes a queue."""
        return self.find_actor(
            queue if self.namespace == DEFAULT_NAMESPACE else queue.removeprefix(f"{self.namespace}.")
        )

    def find_actor(self, name: str) -> Actor[Any, Any] | None:
        """The actor of this name, or that had it once."""
        if (actor := self.declared.get(name)) is not None:
            return actor
        return next((actor for actor in self.declared.values() if name in actor.aliases), None)

    def traced(self, event_type: str, id: UUID | str) -> tuple[str | None, str | None]:
        return self.policy(Trace).traced(event_type, id)

    def step_span(self, name: str) -> AbstractContextManager[Any]:
        return self.policy(Trace).step_span(name)


def names_of(kind: type[Event]) -> tuple[str, ...]:
    """The routing keys of an event type."""
    return (kind.event_type, *kind.event_aliases)


def _not_started(work: Work) -> None:
    raise ConfigurationError(f"actor {work.actor.name}: the engine has not been started")
