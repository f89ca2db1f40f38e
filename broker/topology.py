"""The topology as pure values: which exchanges and queues exist and who is bound to what. Nothing here does I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

DEFAULT_NAMESPACE = "callboard"

DELIVERY_LIMIT = 1000
"""`x-delivery-limit` of every queue. A crash-loop fuse only: RabbitMQ counts prefetched messages that never ran, and
RabbitMQ 4 would otherwise apply its own default of 20."""


@dataclass(frozen=True, slots=True)
class Binding:
    """Events of `event_type` go to `queue`. Event types are exact: `*` and `#` are refused where actors are declared."""

    event_type: str
    queue: str


@dataclass(frozen=True, slots=True)
class Topology:
    """Everything a transport declares.

    `events` is the topic exchange that publishers use, `unheard` the queue behind its alternate exchange, `dead` the queue
    behind the dead-letter exchange (what the server itself gives up on, e.g. past the delivery limit), `quarantine` the
    queue of runs that have killed their worker, `recorder` the queue of events that runs wait for.
    """

    namespace: str
    queues: tuple[str, ...]
    bindings: tuple[Binding, ...]
    awaited: tuple[str, ...] = ()
    """Event types that runs wait for. Their bindings are never stale: another application of the namespace may have made them,
    and an event that is recorded in vain costs a row for a day."""

    @property
    def events(self) -> str:
        return f"{self.namespace}.events"

    @property
    def alternate_exchange(self) -> str:
        return f"{self.namespace}.unheard"

    @property
    def dead_letter_exchange(self) -> str:
        return f"{self.namespace}.dead"

    @property
    def unheard(self) -> str:
        return f"{self.namespace}.unheard"

    @property
    def dead(self) -> str:
        return f"{self.namespace}.dead"

    @property
    def quarantine(self) -> str:
        return f"{self.namespace}.quarantine"

    @property
    def recorder(self) -> str:
        return f"{self.namespace}.recorder"

    @property
    def serving(self) -> tuple[str, ...]:
        """The house queues that every worker consumes."""
        return (self.unheard, self.dead, *((self.recorder,) if self.awaited else ()))

    def queue_of(self, actor: str) -> str:
        """The queue of an actor."""
        return queue_of(self.namespace, actor)

    @property
    def house_queues(self) -> tuple[str, ...]:
        """The queues that belong to no actor."""
        return (*self.serving, self.quarantine)

    def queue_arguments(self, queue: str) -> dict[str, str | int]:
        """Arguments of a quorum queue. The dead queue has no dead-letter exchange of its own: it would loop."""
        arguments: dict[str, str | int] = {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT}
        if queue != self.dead:
            arguments |= {
                "x-dead-letter-exchange": self.dead_letter_exchange,
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
            }
        return arguments


def queue_of(namespace: str, actor: str) -> str:
    """An actor's queue: its name, and in any but the default namespace the namespace before it."""
    return actor if namespace == DEFAULT_NAMESPACE else f"{namespace}.{actor}"


def topology(namespace: str, hears: Mapping[str, Iterable[str]], awaited: Iterable[str] = ()) -> Topology:
    """The topology of actors given as {actor: event types it hears}; `awaited` are the types that runs wait for."""
    queues = {queue_of(namespace, actor): types for actor, types in hears.items()}
    bindings = sorted((event_type, queue) for queue, types in queues.items() for event_type in types)
    kept = tuple(sorted(set(awaited)))
    made = Topology(namespace, tuple(sorted(queues)), tuple(Binding(*pair) for pair in bindings), kept)
    recorded = tuple(Binding(event_type, made.recorder) for event_type in kept)
    return replace(made, bindings=made.bindings + recorded)
