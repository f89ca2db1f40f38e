"""The doctor and the queues: what is missing, of another kind, unbound or unconsumed is found, and left as it is."""

from collections.abc import Mapping

import pytest
from pika.exceptions import ChannelClosedByBroker

from tests.ops.doctor.conftest import House


def replaced(house: House, queue: str, arguments: Mapping[str, object]) -> None:
    with house.channel() as channel:
        channel.queue_delete(queue)
        channel.queue_declare(queue, durable=True, arguments=dict(arguments))


def test_a_classic_queue_where_a_quorum_queue_is_needed_is_found(house: House) -> None:
    queue = house.queue("speak.speak")
    replaced(house, queue, {"x-queue-type": "classic"})
    visit = house.examine()

    state, words = visit.of("queues")
    assert (visit.status, state) == (1, "fail")
    assert queue in words and "x-queue-type is classic" in words


def test_a_queue_without_a_delivery_limit_is_found(house: House) -> None:
    queue = house.queue("speak.speak")
    arguments = house.topology.queue_arguments(queue)
    replaced(house, queue, {name: arguments[name] for name in arguments if name != "x-delivery-limit"})

    state, words = house.examine().of("queues")
    assert state == "fail" and words.startswith(
        f"queue {queue} is not as needed: x-delivery-limit is not set →"
    )


def test_a_missing_queue_is_found_and_not_made(house: House) -> None:
    queue = house.queue("hold.hold")
    with house.channel() as channel:
        channel.queue_delete(queue)

    assert house.examine().of("queues") == (
        "fail",
        f"queue {queue} does not exist → start a worker: it declares what is missing",
    )
    with pytest.raises(ChannelClosedByBroker, match="404"), house.channel() as channel:
        channel.queue_declare(queue, passive=True)


def test_an_exchange_of_another_type_is_found(house: House) -> None:
    with house.channel() as channel:
        channel.exchange_delete(house.topology.events)
        channel.exchange_declare(house.topology.events, "direct", durable=True)
    state, words = house.examine().of("exchanges")
    assert state == "fail" and house.topology.events in words and "direct" in words


def test_a_missing_exchange_is_found(house: House) -> None:
    with house.channel() as channel:
        channel.exchange_delete(house.topology.dead_letter_exchange)
    assert (
        house.examine()
        .of("exchanges")[1]
        .startswith(f"exchange {house.topology.dead_letter_exchange} does not")
    )


def test_an_actor_whose_event_is_not_bound_is_found(house: House) -> None:
    house.sql("delete from binding where event_type = 'line.spoken'")
    state, words = house.examine().of("bindings")
    assert state == "fail" and "line.spoken" in words


def test_a_queue_of_no_actor_is_a_warning(house: House) -> None:
    house.sql("insert into binding (event_type, queue) values ('line.spoken', 'stage.whisper')")
    visit = house.examine()
    assert (visit.status, visit.of("strangers")[0]) == (0, "warn")
    assert "stage.whisper" in visit.of("strangers")[1]


def test_queues_that_nobody_consumes_are_a_warning(house: House) -> None:
    assert house.examine().states("consumers") == {"warn"}


def test_messages_that_nobody_consumes_are_a_fault(house: House) -> None:
    queue = house.queue("speak.speak")
    with house.channel() as channel:
        channel.confirm_delivery()
        channel.basic_publish("", queue, b"{}")
    visit = house.examine()

    said = [each for each in visit.told["findings"] if each["id"] == "consumers" and each["state"] == "fail"]
    assert [each["found"] for each in said] == [f"1 message(s) wait in {queue}, and nobody consumes it"]


def test_deliveries_without_a_worker_are_a_fault_on_the_postgres_transport(house: House) -> None:
    house.set("BROKER_URL", "")
    queue = house.queue("speak.speak")
    house.sql(
        "insert into delivery (queue, body, headers, content_type) values (%(queue)s, '', '{}', 'application/json')",
        queue=queue,
    )
    assert house.examine().states("consumers") == {"fail", "warn"}
