"""The RabbitMQ transport against a real node: what it carries, what it refuses, and what it says."""

import os
from collections.abc import Iterator
from datetime import timedelta

import pika
import pytest

from broker.errors import ConfigurationError, PublishError, TopologyMismatchError, TransportUnavailableError
from broker.topology import Binding
from broker.transports.base import WireMessage
from broker.transports.rabbitmq import RabbitmqTransport
from ops.chaos.proxy import Proxy
from ops.embedded.process import free_port
from tests.support.servers import Rabbit
from tests.support.waiting import eventually
from tests.transports.rabbitmq_house import Collector, House, acknowledge, messages

SOON = 20.0


@pytest.fixture
def house(rabbit: Rabbit) -> Iterator[House]:
    house = House(rabbit.url)
    yield house
    house.clean_up()


def test_thousands_of_messages_arrive_once_and_leave_the_queue(house: House) -> None:
    transport, queue = house.transport(), house.name("orders")
    transport.declare(house.topology({"orders": ["order.placed"]}))
    sink = Collector(acknowledge)

    batches = [transport.publish(messages("order.placed", 500)) for _ in range(4)]
    for batch in batches:
        batch.result(SOON)
    transport.subscribe([queue], sink, prefetch=200)

    sink.wait_for(2000)
    assert sorted(sink.bodies) == sorted(str(each).encode() for each in range(500) for _ in range(4))
    transport.close()
    assert house.transport().depth(queue) == 0


def test_a_delivery_carries_what_was_published(house: House) -> None:
    transport, sink = house.transport(), Collector(acknowledge)
    transport.declare(house.topology({"orders": ["order.placed"]}))
    transport.subscribe([house.name("orders")], sink, prefetch=5)

    transport.publish([WireMessage("order.placed", b"{}", {"grüße": "日本"}, "application/x")]).result(SOON)

    [delivery] = sink.wait_for(1)
    assert (delivery.queue, delivery.body, delivery.content_type) == (
        house.name("orders"),
        b"{}",
        "application/x",
    )
    assert dict(delivery.headers) == {"grüße": "日本"}
    assert not delivery.redelivered
    assert delivery.row_id is None
    assert delivery.alive


def test_a_body_larger_than_a_frame_and_an_empty_one_arrive_whole(house: House) -> None:
    transport, sink = house.transport(), Collector(acknowledge)
    transport.declare(house.topology({"orders": ["order.placed"]}))
    transport.subscribe([house.name("orders")], sink, prefetch=5)
    large = os.urandom(300_000)

    transport.publish([WireMessage("order.placed", body) for body in (large, b"", b"after")]).result(SOON)

    sink.wait_for(3)
    assert sink.bodies == [large, b"", b"after"]


def test_headers_of_other_publishers_become_text(house: House) -> None:
    transport, sink = house.transport(), Collector(acknowledge)
    transport.declare(house.topology({"orders": ["order.placed"]}))
    transport.subscribe([house.name("orders")], sink, prefetch=5)
    headers = {
        "text": "a",
        "bytes": b"\xff",
        "number": 3,
        "long": 2**40,
        "flag": True,
        "list": [1, "b"],
        "none": None,
    }

    with house.administrator() as channel:
        properties = pika.BasicProperties(headers=headers)
        channel.basic_publish(house.name("events"), "order.placed", b"x", properties)

    [delivery] = sink.wait_for(1)
    assert delivery.content_type == ""
    assert dict(delivery.headers) == {
        "text": "a",
        "bytes": "�",
        "number": "3",
        "long": str(2**40),
        "flag": "true",
        "list": '[1, "b"]',
        "none": "null",
    }


def test_an_event_that_nobody_hears_is_kept(house: House) -> None:
    transport = house.transport()
    topology = house.topology({"orders": ["order.placed"]})
    transport.declare(topology)

    transport.publish(messages("order.forgotten", 3)).result(SOON)

    eventually(lambda: transport.depth(topology.unheard) == 3)
    assert transport.depth(house.name("orders")) == 0


def test_a_binding_named_as_stale_is_removed_and_may_be_named_again(house: House) -> None:
    transport, queue = house.transport(), house.name("orders")
    transport.declare(house.topology({"orders": ["order.placed", "order.paid"]}))
    now = house.topology({"orders": ["order.paid"]})

    transport.declare(now, stale=[Binding("order.placed", queue), Binding("order.paid", queue)])
    transport.declare(now, stale=[Binding("order.placed", queue)])
    transport.publish([*messages("order.placed", 1), *messages("order.paid", 1)]).result(SOON)

    eventually(lambda: (transport.depth(queue), transport.depth(now.unheard)) == (1, 1))


def test_a_direct_message_reaches_its_queue_past_the_bindings(house: House) -> None:
    transport, queue = house.transport(), house.name("orders")
    transport.declare(house.topology({"orders": []}))

    transport.publish(messages(queue, 2, direct=True)).result(SOON)

    eventually(lambda: transport.depth(queue) == 2)


def test_a_direct_message_to_a_missing_queue_fails_its_batch_and_no_other(house: House) -> None:
    transport, missing = house.transport(), house.name("nowhere")
    transport.declare(house.topology({"orders": ["order.placed"]}))

    good = transport.publish(messages("order.placed", 5))
    bad = transport.publish([*messages("order.placed", 2), *messages(missing, 1, direct=True)])
    also_good = transport.publish(messages("order.placed", 5))

    with pytest.raises(PublishError, match=f"'{missing}' was returned"):
        bad.result(SOON)
    good.result(SOON)
    also_good.result(SOON)


def test_a_nacked_message_fails_with_its_key_and_publishing_goes_on(house: House) -> None:
    transport, full = house.transport(), house.name("full")
    transport.declare(house.topology({"orders": ["order.placed"]}))
    with house.administrator() as channel:
        channel.queue_declare(
            full, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}, exclusive=False
        )
    try:
        one_by_one = [transport.publish([message]) for message in messages(full, 50, direct=True)]
        errors = [batch.exception(SOON) for batch in one_by_one]
        assert any(f"refused '{full}' (nack)" in str(error) for error in errors)
        transport.publish(messages("order.placed", 1)).result(SOON)
    finally:
        with house.administrator() as channel:
            channel.queue_delete(full)


def test_a_message_that_amqp_cannot_carry_fails_alone(house: House) -> None:
    transport = house.transport()
    transport.declare(house.topology({"orders": ["order.placed"]}))

    bad = transport.publish([WireMessage("k" * 300, b"")])
    good = transport.publish(messages("order.placed", 1))

    with pytest.raises(PublishError, match="at most 255 bytes"):
        bad.result(SOON)
    good.result(SOON)


def test_an_empty_batch_is_confirmed_at_once(house: House) -> None:
    assert house.transport().publish([]).result(0) is None


def test_no_more_than_prefetch_is_handed_over(house: House) -> None:
    transport, queue, sink = house.transport(), house.name("orders"), Collector()
    transport.declare(house.topology({"orders": ["order.placed"]}))
    transport.publish(messages("order.placed", 10)).result(SOON)

    transport.subscribe([queue], sink, prefetch=3)

    eventually(lambda: transport.depth(queue) == 7)
    sink.wait_for(3)
    sink.deliveries[1].ack()
    eventually(lambda: transport.depth(queue) == 6)
    sink.wait_for(4)


def test_a_delivery_given_back_comes_again(house: House) -> None:
    transport, sink = house.transport(), Collector()
    transport.declare(house.topology({"orders": ["order.placed"]}))
    transport.subscribe([house.name("orders")], sink, prefetch=1)
    transport.publish(messages("order.placed", 1)).result(SOON)

    [first] = sink.wait_for(1)
    first.give_back()
    first.ack()  # a settlement that comes second does nothing

    again = sink.wait_for(2)[1]
    assert again.redelivered
    assert again.body == first.body


def test_after_unsubscribe_nothing_comes_and_what_came_can_be_settled(house: House) -> None:
    transport, queue, sink = house.transport(), house.name("orders"), Collector()
    transport.declare(house.topology({"orders": ["order.placed"]}))
    transport.subscribe([queue], sink, prefetch=5)
    transport.publish(messages("order.placed", 5)).result(SOON)
    held = sink.wait_for(5)

    transport.unsubscribe()
    transport.publish(messages("order.placed", 3)).result(SOON)
    for delivery in held:
        delivery.ack()
    eventually(lambda: transport.depth(queue) == 3)
    sink.wait_for(5)

    later = Collector(acknowledge)
    transport.subscribe([queue], later, prefetch=5)
    later.wait_for(3)
    transport.close()
    assert house.transport().depth(queue) == 0


def test_close_sends_the_acks_and_the_rest_goes_back(house: House) -> None:
    transport, queue, sink = house.transport(), house.name("orders"), Collector()
    transport.declare(house.topology({"orders": ["order.placed"]}))
    transport.publish(messages("order.placed", 10)).result(SOON)
    transport.subscribe([queue], sink, prefetch=10)
    held = sink.wait_for(10)

    for delivery in held[:4]:
        delivery.ack()
    transport.close()

    assert not held[9].alive
    other = house.transport()
    eventually(lambda: other.depth(queue) == 6)


def test_close_waits_for_confirms_and_then_refuses(house: House) -> None:
    transport = house.transport()
    transport.declare(house.topology({"orders": ["order.placed"]}))

    batch = transport.publish(messages("order.placed", 500))
    transport.close()

    assert batch.done()
    batch.result(0)
    with pytest.raises(PublishError, match="closed"):
        transport.publish(messages("order.placed", 1)).result(0)


def test_thirty_queues_need_two_connections_and_a_publisher_one(house: House) -> None:
    queues = {f"queue-{each}": [f"type.{each}"] for each in range(30)}
    with Proxy.before(house.url) as proxy:
        transport, sink = house.transport(proxy.through(house.url)), Collector(acknowledge)
        transport.declare(house.topology(queues))
        transport.publish([message for each in range(30) for message in messages(f"type.{each}", 2)]).result(
            SOON
        )
        assert proxy.connections == 1

        transport.subscribe([house.name(queue) for queue in queues], sink, prefetch=10)

        sink.wait_for(60)
        assert transport.connected
        assert (proxy.connections, proxy.accepted) == (2, 2)
        transport.close()


def test_a_queue_with_other_arguments_is_named_with_what_differs(house: House) -> None:
    topology = house.topology({"orders": ["order.placed"]})
    with house.administrator() as channel:
        channel.queue_declare(house.name("orders"), durable=True, arguments={"x-queue-type": "classic"})

    with pytest.raises(TopologyMismatchError, match=f"queue '{house.name('orders')}'.*x-.*delete it"):
        house.transport().declare(topology)


def test_the_depth_of_a_missing_queue_is_an_error_and_not_zero(house: House) -> None:
    transport = house.transport()

    with pytest.raises(ConfigurationError, match=r"nowhere.*does not exist"):
        transport.depth(house.name("nowhere"))
    transport.declare(house.topology({"orders": []}))
    assert transport.depth(house.name("orders")) == 0


def test_a_server_that_is_not_there_is_said_at_once() -> None:
    transport = RabbitmqTransport(
        f"amqp://user:secret@127.0.0.1:{free_port()}", confirm_timeout=timedelta(seconds=0.3)
    )
    try:
        with pytest.raises(TransportUnavailableError, match=r"cannot be reached") as refused:
            transport.depth("orders")
        with pytest.raises(PublishError, match=r"no way to RabbitMQ for 0\.3 s"):
            transport.publish(messages("order.placed", 1)).result(SOON)
        assert "secret" not in str(refused.value)
        assert not transport.connected
    finally:
        transport.close()


@pytest.mark.parametrize("url", ["", "http://user:secret@host", "amqp://user:secret@host:port/"])
def test_a_malformed_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="amqp://") as refused:
        RabbitmqTransport(url)

    assert "secret" not in str(refused.value)


def test_after_a_fork_the_transport_refuses_to_work(house: House) -> None:
    transport = house.transport()
    transport.declare(house.topology({"orders": ["order.placed"]}))

    child = os.fork()
    if child == 0:
        code = 1
        try:
            transport.publish(messages("order.placed", 1))
        except ConfigurationError:
            code = 0
        finally:
            os._exit(code)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    transport.publish(messages("order.placed", 1)).result(SOON)
