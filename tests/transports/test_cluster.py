"""Three RabbitMQ nodes, of which the one that leads is killed: all go on over the others, and nothing confirmed is lost."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest

from broker.errors import PublishError
from broker.transports.base import WireMessage
from broker.transports.rabbitmq import RabbitmqTransport
from broker.transports.rabbitmq.connection import Connection
from ops.chaos import plan, programme
from ops.chaos.arena import Servers
from ops.embedded.postgres import EmbeddedPostgres
from ops.embedded.rabbitmq_cluster import RabbitCluster
from tests.support.waiting import eventually
from tests.transports.rabbitmq_house import Collector, House, acknowledge

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

SOON = 20.0
FAILOVER = 60.0
"""Seconds, on a machine that does other work too: an election takes 0.2 to 0.4, a missed confirm costs its patience."""
SEED = 1


@pytest.fixture
def house(cluster: RabbitCluster) -> Iterator[House]:
    house = House(cluster.urls[0])
    yield house
    house.clean_up()


@dataclass
class Pressing:
    """A thread for each publisher, which publishes one message after the other and keeps those that were confirmed."""

    publishers: Sequence[RabbitmqTransport]
    enough: threading.Event = field(default_factory=threading.Event)
    confirmed: dict[int, list[bytes]] = field(default_factory=dict[int, list[bytes]])

    def run(self, place: int) -> None:
        number = 0
        while not self.enough.is_set():
            message = WireMessage("order.placed", f"{place} {number}".encode())
            if succeeds(self.publishers[place], message):
                self.confirmed[place].append(message.body)
                number += 1

    def get_on(self, count: int) -> None:
        """Every publisher has so many more confirmed."""
        goals = {place: len(bodies) + count for place, bodies in self.confirmed.items()}
        eventually(lambda: all(len(self.confirmed[place]) >= goal for place, goal in goals.items()), FAILOVER)


@contextmanager
def pressing(publishers: Sequence[RabbitmqTransport]) -> Generator[Pressing]:
    load = Pressing(publishers)
    load.confirmed.update({place: [] for place in range(len(publishers))})
    threads = [threading.Thread(target=load.run, args=[place]) for place in load.confirmed]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.enough.set()
        for thread in threads:
            thread.join()


def succeeds(transport: RabbitmqTransport, message: WireMessage) -> bool:
    try:
        transport.publish([message]).result(SOON)
    except PublishError:
        return False
    return True


def one_at_each_node(
    make: Callable[[], RabbitmqTransport], connection: Callable[[RabbitmqTransport], Connection]
) -> list[RabbitmqTransport]:
    """A connection begins at a node by chance: made anew until each node has one."""
    found: dict[str, RabbitmqTransport] = {}
    while len(found) < 3:
        transport = make()
        place = connection(transport)._server
        if place in found:
            transport.close()
        else:
            found[place] = transport
    return list(found.values())


def test_each_node_keeps_every_queue_and_no_node_leads_them_all(cluster: RabbitCluster, house: House) -> None:
    topology = house.topology({f"queue-{number}": [f"type.{number}"] for number in range(6)})

    house.transport(cluster.urls).declare(topology)

    known = cluster.queues()
    queues = [known[name] for name in (*topology.queues, *topology.house_queues)]
    names = {node.name for node in cluster.nodes}
    assert all(set(queue["members"]) == names for queue in queues)
    assert {queue["leader"] for queue in queues} == names


def test_a_leader_that_is_killed_and_comes_back_loses_nothing_confirmed(
    cluster: RabbitCluster, house: House
) -> None:
    """Among the publishers and consumers are some that were connected to it, and some that were not."""
    queue, sink = house.name("orders"), Collector(acknowledge)
    topology = house.topology({"orders": ["order.placed"]})
    house.transport(cluster.urls).declare(topology)

    def publisher() -> RabbitmqTransport:
        transport = house.transport(cluster.urls, exchange=topology.events)
        eventually(lambda: succeeds(transport, WireMessage("order.placed", b"first")), FAILOVER)
        return transport

    def worker() -> RabbitmqTransport:
        transport = house.transport(cluster.urls)
        transport.subscribe([queue], sink, prefetch=50)
        eventually(lambda: transport.can_consume, FAILOVER)
        return transport

    workers = one_at_each_node(worker, lambda transport: transport._the_consumer()._connection)
    publishers = one_at_each_node(publisher, lambda transport: transport._the_publisher()._connection)
    with pressing(publishers) as load:
        load.get_on(50)
        leader = cluster.leader_of(queue)
        leader.kill()
        load.get_on(50)  # it is still away
        leader.start()
        load.get_on(50)

    confirmed = {body for bodies in load.confirmed.values() for body in bodies}
    eventually(lambda: confirmed <= set(sink.bodies), FAILOVER)
    eventually(lambda: all(transport.connected for transport in (*workers, *publishers)), FAILOVER)


def test_whoever_begins_right_after_the_kill_is_confirmed_or_told_in_time(
    cluster: RabbitCluster, house: House
) -> None:
    """RabbitMQ 3.10 may nack everything on a fresh channel of a survivor, or never answer it."""
    queue, patience = house.name("orders"), timedelta(seconds=2)
    topology = house.topology({"orders": ["order.placed"]})
    house.transport(cluster.urls).declare(topology)
    leader = cluster.leader_of(queue)
    leader.kill()

    began = monotonic()
    fresh = [
        house.transport(cluster.urls, confirm_timeout=patience, exchange=topology.events) for _ in range(6)
    ]
    batches = [transport.publish([WireMessage("order.placed", b"at once")]) for transport in fresh]
    for batch in batches:
        assert isinstance(batch.exception(SOON), PublishError | None)
    told = monotonic() - began
    for transport in fresh:
        eventually(lambda each=transport: succeeds(each, WireMessage("order.placed", b"later")), FAILOVER)  # type: ignore[misc]
    leader.start()

    assert told < SOON
    sink = Collector(acknowledge)
    house.transport(cluster.urls).subscribe([queue], sink, prefetch=50)
    eventually(lambda: sink.bodies.count(b"later") >= len(fresh), FAILOVER)


def test_without_a_majority_publishers_are_told_and_with_it_all_goes_on(
    cluster: RabbitCluster, house: House
) -> None:
    queue, sink = house.name("orders"), Collector(acknowledge)
    topology = house.topology({"orders": ["order.placed"]})
    publisher = house.transport(cluster.urls, confirm_timeout=timedelta(seconds=1))
    publisher.declare(topology)
    worker = house.transport(cluster.urls)
    worker.subscribe([queue], sink, prefetch=50)
    publisher.publish([WireMessage("order.placed", b"before")]).result(SOON)
    cluster.leader_of(queue)  # all three have it

    for node in cluster.nodes[:2]:
        node.kill()
    told = [publisher.publish([WireMessage("order.placed", b"during")]).exception(SOON) for _ in range(3)]
    assert all(isinstance(error, PublishError) for error in told)
    cluster.start()

    eventually(lambda: succeeds(publisher, WireMessage("order.placed", b"after")), FAILOVER)
    eventually(lambda: {b"before", b"after"} <= set(sink.bodies), FAILOVER)


def test_chains_of_runs_lose_and_double_nothing_when_their_leader_is_killed(
    cluster: RabbitCluster, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    [trial] = plan.trials(plan.rows_named(["cluster"]), seed=SEED, short=True, events=None)

    result = programme.attempt(trial, Servers(postgres, cluster), tmp_path, lambda *_: None)

    assert result.broken == (), result.histories
    assert result.verdict.attempted == trial.size.events
    assert result.faults == 1
