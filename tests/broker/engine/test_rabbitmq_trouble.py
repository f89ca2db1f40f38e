"""The engine on RabbitMQ while connections drop, deliveries are held for too long, and the server has no memory left.

Each of these makes plain dramatiq lose messages, run them twice, or hang (ops/docs/regressions.md).
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest

from broker import PublishError, Settings
from broker.testing import Stage
from broker.transports.rabbitmq import RabbitmqTransport
from ops.chaos.proxy import Proxy
from ops.embedded.rabbitmq import EmbeddedRabbit
from tests.support import cast
from tests.support.cast import diary
from tests.support.rabbit import empty_queues
from tests.support.servers import Rabbit
from tests.support.transports import message
from tests.support.waiting import eventually

pytestmark = pytest.mark.chaos

SOON = 20.0
REJOINED = 40.0
"""Seconds. A refused connection is tried again within 5 s, and an outbox row that was not sent one second later."""
OURS = 512 * 1024 * 1024
QUICK = timedelta(seconds=1)


@pytest.fixture
def proxy(rabbit: Rabbit) -> Iterator[Proxy]:
    with Proxy.before(rabbit.url) as proxy:
        yield proxy


@pytest.fixture
def make_stage(rabbit: Rabbit, proxy: Proxy, dsn: str) -> Iterator[Callable[..., Stage]]:
    """The cast's waiting bodies on RabbitMQ, by way of the proxy."""
    cast.forget()
    namespace = f"t{secrets.token_hex(4)}"
    with ExitStack() as stages:

        def make(threads: int = 2) -> Stage:
            settings = Settings(
                namespace=namespace, threads=threads, sweep_interval=timedelta(milliseconds=20)
            )
            transport = RabbitmqTransport(
                proxy.through(rabbit.url), exchange=f"{namespace}.events", confirm_timeout=QUICK
            )
            stage = Stage(dsn, [cast.hold_up, cast.answer], settings=settings, transport=transport)
            stages.callback(transport.close)
            return stages.enter_context(stage)

        yield make
        cast.gate.set()
    empty_queues(rabbit.url, [f"{namespace}.{actor.name}" for actor in (cast.hold_up, cast.answer)])


@pytest.fixture
def own(rabbit: Rabbit) -> EmbeddedRabbit:
    if not isinstance(rabbit, EmbeddedRabbit):
        pytest.skip("the server is given by CALLBOARD_TEST_AMQP_URL, and its settings are not ours to change")
    return rabbit


@pytest.fixture
def impatient(own: EmbeddedRabbit) -> Iterator[None]:
    """A server that takes a delivery back after 1.5 s instead of 30 minutes, and looks each half second."""
    set_consumer_timeout(own, 1_500, every=500)
    yield
    set_consumer_timeout(own, 1_800_000, every=60_000)


@pytest.fixture
def alarm(own: EmbeddedRabbit) -> Iterator[Callable[[int], str]]:
    def allow(memory: int) -> str:
        return own.control("set_vm_memory_high_watermark", "absolute", str(memory))

    yield allow
    allow(OURS)


def set_consumer_timeout(server: EmbeddedRabbit, milliseconds: int, *, every: int) -> None:
    """For channels that are opened from now on."""
    for name, value in (("consumer_timeout", milliseconds), ("channel_tick_interval", every)):
        server.control("eval", f"application:set_env(rabbit, {name}, {value}).")


def held() -> list[str]:
    return [line for line in diary if line.startswith("held")]


def hold(stage: Stage, count: int) -> list[str]:
    """Publish so many events and wait until two bodies are waiting in the middle; what the diary must hold at the end."""
    stage.publisher.publish_many([cast.CastHeld(n=n) for n in range(count)])
    eventually(lambda: len(held()) >= stage.settings.threads, SOON)
    return [f"held {n}" for n in range(count)]


def transport_of(stage: Stage) -> RabbitmqTransport:
    assert isinstance(stage.transport, RabbitmqTransport)
    return stage.transport


def test_what_was_started_or_prefetched_runs_once_over_a_dropped_connection(
    make_stage: Callable[..., Stage], proxy: Proxy
) -> None:
    stage = make_stage()
    wanted = hold(stage, 20)

    before = proxy.accepted
    proxy.cut()
    eventually(lambda: proxy.accepted >= before + 2 and transport_of(stage).can_consume, SOON)
    cast.gate.set()

    stage.drain()
    assert sorted(held()) == sorted(wanted)
    assert stage.rows("select status, count(*) from run group by 1") == [("completed", 40)]


def test_an_event_that_cannot_be_handed_over_waits_in_the_outbox(
    make_stage: Callable[..., Stage], proxy: Proxy
) -> None:
    stage = make_stage()
    hold(stage, 2)

    proxy.refuse()
    proxy.cut()
    cast.gate.set()
    ended = "select count(*) from run where actor = 'cast.hold_up' and status = 'completed'"
    eventually(lambda: stage.rows(ended) == [(2,)], SOON)
    assert stage.rows("select count(*) from outbox") == [(2,)]
    proxy.accept()

    eventually(lambda: {"answered 0", "answered 1"} <= set(diary), REJOINED)
    stage.drain()
    assert diary.count("answered 0") == diary.count("answered 1") == 1
    assert stage.rows("select count(*) from outbox") == [(0,)]


def test_a_run_longer_than_the_consumer_timeout_starts_once(
    impatient: None, make_stage: Callable[..., Stage]
) -> None:
    """The server closes the channel over what waits behind it, and delivers that again; the run's own delivery was acked."""
    stage = make_stage(threads=1)
    queue = f"{stage.settings.namespace}.cast.hold_up"
    consumer = transport_of(stage)._the_consumer()
    wanted = hold(stage, 8)
    first = consumer._subscriptions[queue]._life

    def came_again() -> bool:
        life = consumer._subscriptions[queue]._life
        return life is not None and life is not first and transport_of(stage).can_consume

    eventually(came_again, SOON)
    assert held() == ["held 0"]
    cast.gate.set()

    stage.drain()
    assert sorted(held()) == wanted


def test_a_memory_alarm_is_told_to_publishers_and_loses_nothing(
    alarm: Callable[[int], str], make_stage: Callable[..., Stage]
) -> None:
    stage = make_stage()
    hold(stage, 2)

    alarm(1)
    queue = f"{stage.settings.namespace}.cast.answer"
    with pytest.raises(PublishError, match=r"within 1 s|for 1 s"):
        stage.transport.publish([message("cast.answered", b"{}")]).result(SOON)
    stage.publish(cast.CastHeld(n=2))
    assert stage.rows("select count(*) from outbox where routing_key = 'cast.held'") == [(1,)]
    cast.gate.set()
    ended = "select count(*) from run where actor = 'cast.hold_up' and status = 'completed'"
    eventually(lambda: stage.rows(ended) == [(2,)], SOON)
    assert "answered 0" not in diary, "it was published although the server had blocked us"
    alarm(OURS)

    eventually(lambda: {"answered 0", "answered 1", "answered 2"} <= set(diary), REJOINED)
    eventually(lambda: stage.rows("select count(*) from outbox") == [(0,)], REJOINED)
    stage.drain()
    assert sorted(line for line in diary if line.startswith("answered")) == [
        f"answered {n}" for n in range(3)
    ]
    assert stage.transport.depth(queue) == 0
