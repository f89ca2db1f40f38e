"""The steps that make a topology exist. All may be repeated; order matters: exchanges, queues, bindings,
unbindings."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future

import structlog

from broker.errors import TopologyMismatchError
from broker.topology import Binding, Topology
from broker.transports.rabbitmq.connection import Connection
from broker.transports.rabbitmq.errand import Answer, Errand, Step

log = structlog.get_logger(__name__)


def declaration(topology: Topology, stale: Iterable[Binding] = ()) -> list[Step]:
    """`stale` are bindings of an earlier deployment, removed last: an event is rather heard twice than not
    at all."""
    queues = (*topology.house_queues, *topology.queues)
    return [
        *_exchanges(topology),
        *(_queue(topology, name) for name in queues),
        _bind(topology.alternate_exchange, topology.unheard, ""),
        _bind(topology.dead_letter_exchange, topology.dead, ""),
        *(_bind(topology.events, each.queue, each.event_type) for each in topology.bindings),
        *(_unbind(topology.events, each) for each in sorted(set(stale) - set(topology.bindings), key=str)),
    ]


def declare_again(connection: Connection, topology: Topology | None, then: Callable[[], None]) -> None:
    """Run `then` on the I/O thread once the topology exists: a node may have come back empty. Drops the
    connection when that fails, except over a mismatch: such a queue exists and its messages can move; the
    next boot refuses to start."""

    def ended(result: Future[Answer]) -> None:
        error = result.exception()
        if isinstance(error, TopologyMismatchError):
            log.error("amqp.topology_mismatch", reason=str(error))
        elif error is not None:
            connection.drop(f"the topology could not be declared again: {error}")
            return
        then()

    if topology is None:
        then()
        return
    errand = Errand(declaration(topology))
    errand.result.add_done_callback(lambda result: connection.run_soon(lambda: ended(result)))
    errand.start(connection)


def queue_depth(queue: str) -> list[Step]:
    """Its answer carries `method.message_count`."""
    return [
        Step(
            f"queue {queue!r}",
            lambda channel, answered: channel.queue_declare(queue, passive=True, callback=answered),
        )
    ]


def _exchanges(topology: Topology) -> Iterator[Step]:
    yield _exchange(topology.dead_letter_exchange, "fanout", {})
    yield _exchange(topology.alternate_exchange, "fanout", {})
    yield _exchange(topology.events, "topic", {"alternate-exchange": topology.alternate_exchange})


def _exchange(name: str, kind: str, arguments: dict[str, str]) -> Step:
    return Step(
        f"exchange {name!r}",
        lambda channel, answered: channel.exchange_declare(
            name, exchange_type=kind, durable=True, arguments=arguments, callback=answered
        ),
    )


def _queue(topology: Topology, name: str) -> Step:
    return Step(
        f"queue {name!r}",
        lambda channel, answered: channel.queue_declare(
            name, durable=True, arguments=topology.queue_arguments(name), callback=answered
        ),
    )


def _bind(exchange: str, queue: str, key: str) -> Step:
    return Step(
        f"the binding of {key!r} to queue {queue!r}",
        lambda channel, answered: channel.queue_bind(queue, exchange, routing_key=key, callback=answered),
    )


def _unbind(exchange: str, binding: Binding) -> Step:
    return Step(
        f"the old binding of {binding.event_type!r} to queue {binding.queue!r}",
        lambda channel, answered: channel.queue_unbind(
            binding.queue, exchange, routing_key=binding.event_type, callback=answered
        ),
    )
