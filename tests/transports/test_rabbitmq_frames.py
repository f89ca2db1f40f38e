"""The bytes of the two hot paths, and which frames settle which deliveries: pika is the judge."""

from collections.abc import Iterator
from typing import Any

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import frame, spec

from broker.transports.rabbitmq.frames import Arrival, publish_frames, read_arrival
from broker.transports.rabbitmq.settlements import Settlements

NAMES = st.text(max_size=40)
HEADERS = st.dictionaries(NAMES, st.text(max_size=60), max_size=6)


@given(key=NAMES, headers=HEADERS, body=st.binary(max_size=300))
def test_what_we_publish_pika_reads(key: str, headers: dict[str, str], body: bytes) -> None:
    wire = b"".join(publish_frames(3, "an.exchange", key, headers, "application/json", body, 100))

    method, header, *bodies = frames_of(wire)

    assert (method.method.exchange, method.method.routing_key) == ("an.exchange", key)
    assert method.method.mandatory
    assert header.properties.headers == headers
    assert header.properties.content_type == "application/json"
    assert header.properties.delivery_mode == 2
    assert header.body_size == len(body)
    assert b"".join(each.fragment for each in bodies) == body


@given(key=NAMES, headers=HEADERS, body=st.binary(max_size=300), redelivered=st.booleans())
def test_a_plain_delivery_of_the_server_is_read_whole(
    key: str, headers: dict[str, str], body: bytes, redelivered: bool
) -> None:
    properties = pika.BasicProperties(content_type="a/b", headers=headers, delivery_mode=2)
    wire = delivery(key, properties, body, redelivered)

    arrival = read_arrival(b"before" + wire + b"after", len("before"))

    assert arrival is not None
    end = len("before") + len(wire)
    assert arrival == Arrival(
        "consumer", 7, redelivered, "a/b", headers, body, end, exchange="an.exchange", key=key
    )


def test_half_a_delivery_is_left_alone() -> None:
    wire = delivery("key", pika.BasicProperties(headers={"a": "b"}), b"body", redelivered=False)

    assert [read_arrival(wire[:length], 0) for length in range(len(wire))] == [None] * len(wire)


def test_headers_that_are_not_text_are_left_to_pika() -> None:
    wire = delivery("key", pika.BasicProperties(headers={"count": 3}), b"body", redelivered=False)

    assert read_arrival(wire, 0) is None


def test_a_name_that_amqp_cannot_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 255 bytes"):
        list(publish_frames(1, "exchange", "k" * 256, {}, "", b"", 100))


class Server:
    """What RabbitMQ does with settlements: an unknown tag closes the channel."""

    def __init__(self, tags: range) -> None:
        self.unsettled = list(tags)
        self.acked: set[int] = set()
        self.returned: set[int] = set()

    def take(self, wire: bytes) -> None:
        for each in frames_of(wire):
            tag = each.method.delivery_tag
            assert tag in self.unsettled, f"406: unknown delivery tag {tag}"
            settled = [one for one in self.unsettled if one <= tag] if each.method.multiple else [tag]
            self.unsettled = [one for one in self.unsettled if one not in settled]
            (self.acked if isinstance(each.method, spec.Basic.Ack) else self.returned).update(settled)


@given(st.data())
def test_each_delivery_is_settled_as_asked_and_once(data: st.DataObject) -> None:
    tags = range(1, data.draw(st.integers(1, 30)) + 1)
    server, settlements = Server(tags), Settlements(1)
    for tag in tags:
        settlements.arrived(tag)
    acked: set[int] = set()
    returned: set[int] = set()

    for _ in range(data.draw(st.integers(1, 5))):
        acks = data.draw(st.lists(st.sampled_from(tags), max_size=30))
        returns = data.draw(st.lists(st.sampled_from(tags), max_size=5))
        returned |= set(returns) - acked
        acked |= set(acks) - returned
        server.take(b"".join(settlements.settle(acks, returns)))

    assert (server.acked, server.returned) == (acked, returned)
    assert len(settlements) == len(tags) - len(acked | returned)


def test_acks_in_order_are_one_frame() -> None:
    settlements = Settlements(1)
    for tag in range(1, 101):
        settlements.arrived(tag)

    [ack] = frames_of(b"".join(settlements.settle(range(1, 101), [])))

    assert (ack.method.delivery_tag, ack.method.multiple) == (100, True)


def delivery(key: str, properties: pika.BasicProperties, body: bytes, redelivered: bool) -> bytes:
    basic: Any = spec.Basic
    deliver = basic.Deliver("consumer", 7, redelivered, "an.exchange", key)
    bodies = [frame.Body(3, body).marshal()] if body else []
    return b"".join(
        [frame.Method(3, deliver).marshal(), frame.Header(3, len(body), properties).marshal(), *bodies]
    )


def frames_of(wire: bytes) -> Iterator[Any]:
    while wire:
        size, value = frame.decode_frame(wire)
        assert value is not None
        yield value
        wire = wire[size:]
