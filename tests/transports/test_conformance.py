"""What both transports promise alike: the engine above them never asks which one it stands on."""

import secrets
from collections.abc import Iterator

import pytest

from broker.database import Database
from broker.migrate import engine_migrations, migrate
from broker.topology import Binding
from broker.transports.base import Transport, WireMessage
from tests.support.transports import Inbox, Wire, has_depth, message, numbered, publish


@pytest.fixture(params=["postgres", "rabbitmq"])
def wire(request: pytest.FixtureRequest) -> Iterator[Wire[Transport]]:
    namespace = f"test-{secrets.token_hex(4)}"
    build = postgres_wire if request.param == "postgres" else rabbitmq_wire
    wire = build(request, namespace)
    yield wire
    wire.close()


def postgres_wire(request: pytest.FixtureRequest, namespace: str) -> Wire[Transport]:
    from broker.transports.postgres import PostgresTransport

    database = Database(request.getfixturevalue("dsn"), schema=namespace)
    migrate(database, engine_migrations(database.schema))
    return Wire(namespace, lambda: PostgresTransport(database))


def rabbitmq_wire(request: pytest.FixtureRequest, namespace: str) -> Wire[Transport]:
    from broker.transports.rabbitmq import RabbitmqTransport

    url = request.getfixturevalue("rabbit").url
    return Wire(namespace, lambda: RabbitmqTransport(url, exchange=f"{namespace}.events"))


@pytest.fixture
def transport(wire: Wire[Transport]) -> Transport:
    """Declares `orders` and `mails` for order.placed, `pages` for page.scanned."""
    transport = wire.transport()
    transport.declare(wire.topology(orders=["order.placed"], mails=["order.placed"], pages=["page.scanned"]))
    return transport


def test_a_published_message_is_delivered_and_gone_after_its_ack(
    wire: Wire[Transport], transport: Transport
) -> None:
    inbox = Inbox()
    transport.subscribe([wire.queue("pages")], inbox, prefetch=10)
    publish(transport, message("page.scanned", b"one"))
    (delivery,) = inbox.wait_for(1)
    assert (delivery.queue, delivery.body, delivery.redelivered) == (wire.queue("pages"), b"one", False)
    assert delivery.alive
    delivery.ack()
    transport.close()
    assert has_depth(wire.transport(), wire.queue("pages"), 0)


def test_an_event_reaches_every_queue_that_hears_it_and_no_other(
    wire: Wire[Transport], transport: Transport
) -> None:
    publish(transport, message("order.placed"))
    depths = [(name, has_depth(transport, wire.queue(name), 1)) for name in ("orders", "mails")]
    assert depths == [("orders", True), ("mails", True)]
    assert transport.depth(wire.queue("pages")) == 0


def test_an_event_that_nobody_hears_is_kept(wire: Wire[Transport], transport: Transport) -> None:
    publish(transport, message("order.forgotten", b"kept"))
    inbox = Inbox()
    transport.subscribe([wire.topology().unheard], inbox, prefetch=10)
    (delivery,) = inbox.wait_for(1)
    assert delivery.body == b"kept"
    delivery.ack()


def test_a_direct_message_goes_to_its_queue_past_every_binding(
    wire: Wire[Transport], transport: Transport
) -> None:
    publish(transport, message(wire.queue("mails"), b"direct", direct=True))
    inbox = Inbox()
    transport.subscribe([wire.queue("mails"), wire.queue("orders")], inbox, prefetch=10)
    (delivery,) = inbox.wait_for(1)
    assert (delivery.queue, delivery.body) == (wire.queue("mails"), b"direct")


def test_what_is_given_back_comes_again_and_says_so(wire: Wire[Transport], transport: Transport) -> None:
    inbox = Inbox()
    transport.subscribe([wire.queue("pages")], inbox, prefetch=1)
    publish(transport, message("page.scanned", b"again"))
    inbox.wait_for(1)[0].give_back()
    first, second = inbox.wait_for(2)
    assert (first.redelivered, second.redelivered) == (False, True)
    assert second.body == b"again"
    second.ack()


def test_unsettled_deliveries_go_back_when_their_consumer_goes_away(
    wire: Wire[Transport], transport: Transport
) -> None:
    leaver, inbox = wire.transport(), Inbox()
    leaver.subscribe([wire.queue("pages")], inbox, prefetch=10)
    publish(transport, message("page.scanned", b"acked"), message("page.scanned", b"held"))
    acked, held = inbox.wait_for(2)
    acked.ack()
    leaver.close()
    assert not held.alive
    heir = Inbox(acks=True)
    transport.subscribe([wire.queue("pages")], heir, prefetch=10)
    (again,) = heir.wait_for(1)
    assert (again.body, again.redelivered) == (b"held", True)


def test_settling_after_the_close_does_nothing(wire: Wire[Transport], transport: Transport) -> None:
    leaver, inbox = wire.transport(), Inbox()
    leaver.subscribe([wire.queue("pages")], inbox, prefetch=10)
    publish(transport, message("page.scanned", b"one"), message("page.scanned", b"two"))
    one, two = inbox.wait_for(2)
    leaver.close()
    one.ack()
    two.give_back()
    assert has_depth(transport, wire.queue("pages"), 2)


def test_headers_content_type_and_body_survive_byte_for_byte(
    wire: Wire[Transport], transport: Transport
) -> None:
    headers = {
        "cloudEvents_id": 'é "quoted" \\ 日本 🎭',
        "cloudEvents_empty": "",
        "traceparent": "00-abc-def-01",
    }
    body = bytes(range(256))
    publish(
        transport, WireMessage("page.scanned", body, headers, "application/cloudevents+json; charset=utf-8")
    )
    inbox = Inbox()
    transport.subscribe([wire.queue("pages")], inbox, prefetch=10)
    (delivery,) = inbox.wait_for(1)
    assert {name: delivery.headers[name] for name in headers} == headers
    assert delivery.content_type == "application/cloudevents+json; charset=utf-8"
    assert delivery.body == body


def test_a_body_of_a_mebibyte_passes(wire: Wire[Transport], transport: Transport) -> None:
    body = secrets.token_bytes(1 << 20)
    publish(transport, message("page.scanned", body))
    inbox = Inbox()
    transport.subscribe([wire.queue("pages")], inbox, prefetch=10)
    assert inbox.wait_for(1)[0].body == body


def test_a_queue_keeps_the_order_of_one_publisher(wire: Wire[Transport], transport: Transport) -> None:
    bodies = [str(number).encode() for number in range(500)]
    futures = [transport.publish([message("page.scanned", body)]) for body in bodies[:100]]
    futures.append(transport.publish([message("page.scanned", body) for body in bodies[100:]]))
    for future in futures:
        future.result(timeout=20)
    inbox = Inbox(acks=True)
    transport.subscribe([wire.queue("pages")], inbox, prefetch=7)
    inbox.wait_for(500)
    assert inbox.bodies == bodies


def test_no_more_than_the_prefetch_is_in_hand(wire: Wire[Transport], transport: Transport) -> None:
    publish(transport, *numbered(10))
    inbox = Inbox()
    transport.subscribe([wire.queue("pages")], inbox, prefetch=3)
    first = inbox.wait_for(3)[0]
    assert has_depth(transport, wire.queue("pages"), 7)
    first.ack()
    inbox.wait_for(4)
    assert has_depth(transport, wire.queue("pages"), 6)
    assert len(inbox.deliveries) == 4


def test_a_full_queue_does_not_hold_up_its_neighbour(wire: Wire[Transport], transport: Transport) -> None:
    inbox = Inbox()
    transport.subscribe([wire.queue("orders"), wire.queue("pages")], inbox, prefetch=1)
    publish(transport, message("order.placed", b"1"), message("order.placed", b"2"))
    inbox.wait_for(1)
    publish(transport, message("page.scanned", b"neighbour"))
    inbox.wait_for(2)
    assert [delivery.body for delivery in inbox.of(wire.queue("pages"))] == [b"neighbour"]


def test_declaring_twice_is_harmless(wire: Wire[Transport], transport: Transport) -> None:
    declared = wire.topology(orders=["order.placed"], mails=["order.placed"], pages=["page.scanned"])
    transport.declare(declared)
    wire.transport().declare(declared)
    publish(transport, message("page.scanned"))
    assert has_depth(transport, wire.queue("pages"), 1)


def test_a_stale_binding_is_removed(wire: Wire[Transport], transport: Transport) -> None:
    stale = Binding("order.placed", wire.queue("mails"))
    transport.declare(wire.topology(orders=["order.placed"], mails=[], pages=["page.scanned"]), [stale])
    publish(transport, message("order.placed"))
    assert has_depth(transport, wire.queue("orders"), 1)
    assert transport.depth(wire.queue("mails")) == 0


def test_messages_wait_for_a_consumer_that_comes_later(wire: Wire[Transport], transport: Transport) -> None:
    publish(transport, message("page.scanned", b"early"))
    transport.close()
    late, inbox = wire.transport(), Inbox(acks=True)
    late.subscribe([wire.queue("pages")], inbox, prefetch=10)
    assert inbox.wait_for(1)[0].body == b"early"


def test_depth_counts_what_is_ready_and_not_what_is_held(wire: Wire[Transport], transport: Transport) -> None:
    publish(transport, *(message("page.scanned") for _ in range(3)))
    assert has_depth(transport, wire.queue("pages"), 3)
    inbox = Inbox()
    transport.subscribe([wire.queue("pages")], inbox, prefetch=2)
    inbox.wait_for(2)
    assert has_depth(transport, wire.queue("pages"), 1)


def test_after_unsubscribe_nothing_new_comes_and_what_is_in_hand_settles(
    wire: Wire[Transport], transport: Transport
) -> None:
    inbox = Inbox()
    transport.subscribe([wire.queue("pages")], inbox, prefetch=1)
    publish(transport, message("page.scanned", b"in hand"))
    (delivery,) = inbox.wait_for(1)
    transport.unsubscribe()
    delivery.ack()
    publish(transport, message("page.scanned", b"left"))
    transport.close()
    assert has_depth(wire.transport(), wire.queue("pages"), 1)
    assert inbox.bodies == [b"in hand"]


def test_an_empty_publish_is_confirmed(transport: Transport) -> None:
    assert transport.publish([]).result(timeout=20) is None
