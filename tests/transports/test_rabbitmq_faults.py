"""The RabbitMQ transport while network and node misbehave: nothing confirmed is lost, no stale ack hits."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from time import monotonic

import pytest

from broker.errors import PublishError
from broker.transports.base import WireMessage
from broker.transports.rabbitmq import RabbitmqTransport
from ops.chaos.proxy import Proxy
from ops.embedded.rabbitmq import EmbeddedRabbit
from tests.support.servers import Rabbit
from tests.support.waiting import eventually
from tests.transports.rabbitmq_house import Collector, House, acknowledge, messages

pytestmark = pytest.mark.chaos

SOON = 20.0
REGISTERED = 2.0
"""Seconds. RabbitMQ 3.10 writes the name of a new quorum queue to disk half a second after declaring it; a
node killed before has the queue without a leader for ever (ops/docs/decisions/0002-rabbitmq-and-postgresql.md)."""


@pytest.fixture
def house(rabbit: Rabbit) -> Iterator[House]:
    house = House(rabbit.url)
    yield house
    house.clean_up()


@pytest.fixture
def proxy(rabbit: Rabbit) -> Iterator[Proxy]:
    with Proxy.before(rabbit.url) as proxy:
        yield proxy


def test_stale_acks_never_hit_a_message_of_the_next_channel(house: House, proxy: Proxy) -> None:
    """dramatiq 2.2.1 lost 6 of 24 messages this way: tags restart at 1, and only the tag was looked at."""
    queue, sink = house.name("slow"), Collector()
    transport = house.transport(proxy.through(house.url))
    transport.declare(house.topology({"slow": ["work"]}))
    transport.publish(messages("work", 28)).result(SOON)
    transport.subscribe([queue], sink, prefetch=24)
    old = sink.wait_for(24)
    for delivery in old[:4]:
        delivery.ack()
    old = sink.wait_for(28)

    proxy.cut()
    new = sink.wait_for(28 + 24)[28:]
    for delivery in old:
        delivery.ack()
        delivery.give_back()
    transport.close()

    assert not any(delivery.alive for delivery in old)
    assert {each.body for each in new} == {str(each).encode() for each in range(4, 28)}
    left = Collector()
    house.transport().subscribe([queue], left, prefetch=50)
    left.wait_for(24)
    assert set(left.bodies) == {each.body for each in new}


def test_a_delivery_acked_twice_is_acked_once(house: House) -> None:
    """RabbitMQ closes the channel over a second ack, and everything on it would come again."""
    transport, queue, sink = house.transport(), house.name("orders"), Collector()
    transport.declare(house.topology({"orders": ["order.placed"]}))
    transport.publish(messages("order.placed", 6)).result(SOON)
    transport.subscribe([queue], sink, prefetch=3)

    for delivery in sink.wait_for(3):
        delivery.ack()
        delivery.ack()
    for delivery in sink.wait_for(6):
        delivery.ack()

    eventually(lambda: transport.depth(queue) == 0)
    assert all(delivery.alive for delivery in sink.deliveries)
    transport.close()
    assert house.transport().depth(queue) == 0


def test_twenty_five_restarts_with_a_full_prefetch_give_no_message_up(house: House) -> None:
    """A quorum queue counts what was prefetched and never ran: with RabbitMQ 4's own limit of 20 all would be dead letters."""
    queue, topology = house.name("orders"), house.topology({"orders": ["order.placed"]})
    first = house.transport()
    first.declare(topology)
    first.publish(messages("order.placed", 10)).result(SOON)

    with Proxy.before(house.url) as proxy:
        for turn in range(25):
            sink, worker = Collector(), house.transport(proxy.through(house.url))
            worker.subscribe([queue], sink, prefetch=10)
            sink.wait_for(10)
            if turn % 2:
                proxy.refuse()
                proxy.cut()
            worker.close()
            proxy.accept()

    last = Collector(acknowledge)
    house.transport().subscribe([queue], last, prefetch=10)
    assert {delivery.body for delivery in last.wait_for(10)} == {str(number).encode() for number in range(10)}
    assert first.depth(topology.dead) == 0


def test_a_short_loss_is_invisible_to_a_publisher_that_waits(house: House, proxy: Proxy) -> None:
    transport = house.transport(proxy.through(house.url))
    transport.declare(house.topology({"orders": ["order.placed"]}))
    transport.publish(messages("order.placed", 1)).result(SOON)
    proxy.refuse()
    proxy.cut()
    eventually(lambda: not transport.can_publish)

    waiting = transport.publish(messages("order.placed", 5))
    proxy.accept()

    waiting.result(SOON)
    assert transport.depth(house.name("orders")) == 6


def test_a_confirm_that_does_not_come_fails_in_time_and_the_next_one_comes(
    house: House, proxy: Proxy
) -> None:
    transport = house.transport(proxy.through(house.url), confirm_timeout=timedelta(seconds=0.5))
    transport.declare(house.topology({"orders": ["order.placed"]}))
    transport.publish(messages("order.placed", 1)).result(SOON)

    proxy.black_hole()
    with pytest.raises(PublishError, match=r"not confirmed within 0\.5 s: 'order\.placed'"):
        transport.publish(messages("order.placed", 1)).result(SOON)
    proxy.restore()

    eventually(lambda: succeeds(lambda: transport.publish(messages("order.placed", 1)).result(SOON)))
    assert proxy.accepted >= 2, "a channel that did not answer must not be used again"


def test_after_a_missed_confirm_the_other_node_is_tried(house: House, proxy: Proxy) -> None:
    """RabbitMQ 3.10 may never confirm on a fresh channel of a node that has just lost a queue's leader."""
    with Proxy.before(house.url) as other:
        both = [each.through(house.url) for each in (proxy, other)]
        transport = house.transport(both, confirm_timeout=timedelta(seconds=0.5))
        transport.declare(house.topology({"orders": ["order.placed"]}))
        used, spare = (proxy, other) if proxy.connections else (other, proxy)
        used.black_hole()

        with pytest.raises(PublishError, match="not confirmed"):
            transport.publish(messages("order.placed", 1)).result(SOON)
        transport.publish(messages("order.placed", 1)).result(SOON)

        assert spare.connections == 1
        transport.close()


def test_publishes_are_under_way_together_and_none_waits_for_the_confirm_of_another(
    house: House, proxy: Proxy
) -> None:
    """One confirm at a time is 600 to 1400 messages a second, whatever the server could do."""
    transport = house.transport(proxy.through(house.url))
    transport.declare(house.topology({"orders": ["order.placed"]}))
    transport.publish(messages("order.placed", 1)).result(SOON)
    window = transport._the_publisher()._window
    assert window is not None
    proxy.black_hole()

    batches = [transport.publish([each]) for each in messages("order.placed", 50)]
    eventually(lambda: len(window.flying) == 50)
    proxy.restore()

    for batch in batches:
        batch.result(SOON)


def test_more_than_the_bound_is_refused_at_once(house: House, proxy: Proxy) -> None:
    transport = house.transport(proxy.through(house.url), max_unconfirmed=10)
    transport.declare(house.topology({"orders": ["order.placed"]}))
    proxy.black_hole()

    held = transport.publish(messages("order.placed", 10))
    with pytest.raises(PublishError, match=r"too many unconfirmed \(10\)"):
        transport.publish(messages("order.placed", 1)).result(0)

    proxy.restore()
    held.result(SOON)
    transport.publish(messages("order.placed", 11)).result(SOON)


def test_a_lost_connection_fails_what_was_in_flight(house: House, proxy: Proxy) -> None:
    transport = house.transport(proxy.through(house.url))
    transport.declare(house.topology({"orders": ["order.placed"]}))
    transport.publish(messages("order.placed", 1)).result(SOON)
    proxy.delay(timedelta(seconds=2))

    batch = transport.publish(messages("order.placed", 1))
    # Its bytes have left once another thread's word to the I/O thread, handed over later, has been heard.
    heard = threading.Event()
    transport._the_publisher()._connection.run_soon(heard.set)
    assert heard.wait(SOON)
    proxy.cut()

    with pytest.raises(PublishError, match="may or may not have arrived"):
        batch.result(SOON)


def test_a_deleted_queue_is_declared_and_consumed_again(house: House) -> None:
    transport, queue, sink = house.transport(), house.name("orders"), Collector()
    transport.declare(house.topology({"orders": ["order.placed"]}))
    transport.subscribe([queue], sink, prefetch=5)
    transport.publish(messages("order.placed", 1)).result(SOON)
    [held] = sink.wait_for(1)

    with house.administrator() as channel:
        channel.queue_delete(queue)
    eventually(lambda: not held.alive)
    eventually(lambda: transport.can_consume)
    transport.publish(messages("order.placed", 1)).result(SOON)

    sink.wait_for(2)


def test_a_cancelled_consumer_is_not_ready_before_it_is_accepted_again(house: House) -> None:
    """It once was until its channel had closed: what was published in between found no queue, one time in nine."""
    transport, queue, sink = house.transport(), house.name("orders"), Collector()
    transport.declare(house.topology({"orders": ["order.placed"]}))
    transport.subscribe([queue], sink, prefetch=5)
    transport.publish(messages("order.placed", 1)).result(SOON)
    [held] = sink.wait_for(1)
    consumer = transport._the_consumer()
    subscription = consumer._subscriptions[queue]
    seen: list[tuple[bool, bool]] = []

    def cancel() -> None:
        assert subscription._life is not None
        subscription._cancelled(subscription._life)
        seen.append((held.alive, transport.can_consume))

    consumer._connection.run_soon(cancel)

    eventually(lambda: seen == [(False, False)])
    eventually(lambda: transport.can_consume)
    assert sink.wait_for(2)[1].redelivered


def test_a_lost_exchange_is_declared_again(house: House) -> None:
    """A node that was reset under a running process."""
    transport = house.transport()
    topology = house.topology({"orders": ["order.placed"]})
    transport.declare(topology)
    with house.administrator() as channel:
        channel.exchange_delete(topology.events)

    with pytest.raises(PublishError, match="404"):
        transport.publish(messages("order.placed", 1)).result(SOON)

    transport.publish(messages("order.placed", 1)).result(SOON)
    assert transport.depth(house.name("orders")) == 1


def test_a_channel_that_the_server_closes_is_opened_anew(house: House) -> None:
    """As with a consumer timeout: 406, and everything on the channel comes again."""
    transport, queue, sink = house.transport(), house.name("orders"), Collector()
    transport.declare(house.topology({"orders": ["order.placed"]}))
    transport.subscribe([queue], sink, prefetch=5)
    transport.publish(messages("order.placed", 3)).result(SOON)
    old = sink.wait_for(3)

    consumer = transport._the_consumer()
    life = consumer._subscriptions[queue]._life
    assert life is not None
    assert life.channel is not None
    channel = life.channel
    consumer._connection.run_soon(lambda: channel.basic_ack(99))

    new = sink.wait_for(6)[3:]
    assert not any(each.alive for each in old)
    assert all(each.alive and each.redelivered for each in new)


@pytest.mark.slow
def test_a_node_that_is_killed_and_comes_back_loses_nothing_confirmed(rabbit: Rabbit) -> None:
    if not isinstance(rabbit, EmbeddedRabbit):
        pytest.skip("the server is not ours to kill")
    house = House(rabbit.url)
    transport, sink, worker = house.transport(), Collector(acknowledge), house.transport()
    transport.declare(house.topology({"orders": ["order.placed"]}))
    worker.subscribe([house.name("orders")], sink, prefetch=50)
    confirmed: list[bytes] = []
    enough = threading.Event()

    def publish() -> None:
        number = 0
        while not enough.is_set():
            message = WireMessage("order.placed", str(number).encode())
            if succeeds(partial(published, transport, message)):
                confirmed.append(message.body)
                number += 1

    thread = threading.Thread(target=publish)
    thread.start()
    declared = monotonic()
    try:
        eventually(lambda: len(confirmed) > 200 and monotonic() - declared > REGISTERED, SOON)
        rabbit.kill()
        before = len(confirmed)
        rabbit.start()
        eventually(lambda: len(confirmed) > before + 200, 60)
    finally:
        enough.set()
        thread.join()

    eventually(lambda: set(confirmed) <= set(sink.bodies), SOON)
    assert transport.connected
    assert worker.connected
    house.clean_up()


def published(transport: RabbitmqTransport, message: WireMessage) -> None:
    transport.publish([message]).result(SOON)


def succeeds(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except PublishError:
        return False
    return True
