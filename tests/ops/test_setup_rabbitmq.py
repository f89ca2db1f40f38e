"""`callboard setup rabbitmq` on a real RabbitMQ: a worker may work, a publisher may publish its own types, and nothing else."""

import json
import re
import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, ProbableAuthenticationError

from broker import Backoff, Publisher, Run, Settings, actor
from broker.codec import encode, encode_wake
from broker.database import Database
from broker.declare import declare
from broker.errors import PublishRefusedError
from broker.migrate import migrate
from broker.testing import Stage
from broker.transports.rabbitmq import RabbitmqTransport
from ops.boot import load, make_broker
from ops.contract.publisher import AmqpPublisher
from ops.contract.publisher import PublishError as ContractError
from ops.embedded.rabbitmq import EmbeddedRabbit
from schemas import Event, uuid7, wrap
from tests.ops.conftest import Cli
from tests.support.troupe.schemas import LightFell, LineSpoken
from tests.support.waiting import eventually

LIMIT = timedelta(seconds=5)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRabbit]:
    with EmbeddedRabbit(tmp_path_factory.mktemp("managed"), management=True) as made:
        yield made


@pytest.fixture
def own(cli: Cli, node: EmbeddedRabbit, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line, on that node."""
    monkeypatch.setenv("CALLBOARD_BROKER_URL", node.url)
    monkeypatch.setenv("CALLBOARD_RABBITMQ_API", node.management_url)
    return cli


def address(output: str) -> str:
    [found] = [line for line in output.splitlines() if line.startswith("amqp://")]
    return found


def test_a_publisher_may_publish_its_own_types_and_do_nothing_else(
    own: Cli, node: EmbeddedRabbit, dsn: str
) -> None:
    app = load(Settings())
    topology = make_broker(app, Settings()).topology()
    database = Database(dsn)
    migrate(database, app.migrations(database.schema))
    worker = own("setup", "rabbitmq", "house", "--as", "worker")
    assert worker.exit_code == 0, worker.output
    # The worker's own rights are enough to declare all of it, twice.
    for _ in range(2):
        hall = RabbitmqTransport(address(worker.stdout), exchange=topology.events)
        declare(database, hall, topology)
        hall.close()

    made = own("setup", "rabbitmq", "shop", "--as", "publisher", "--type", "line.spoken", "--type", "order.*")
    assert made.exit_code == 0, made.output
    shop = RabbitmqTransport(address(made.stdout), exchange=topology.events)
    publisher = Publisher(shop, "shop")
    publisher.publish(LineSpoken(folder="x"))
    assert shop.depth(topology.queue_of("speak.speak")) == 1
    publisher.database = database  # a refusal is not got around by way of the outbox
    with pytest.raises(
        PublishRefusedError, match=r"'light.fell' is refused .*user 'shop' may not .*`callboard setup"
    ):
        publisher.publish(LightFell(folder="x"))
    publisher.publish(LineSpoken(folder="y"))
    assert shop.depth(topology.queue_of("speak.speak")) == 2
    with database.once("test") as session:
        assert session.execute("select count(*) from outbox").fetchone() == (0,)
    with pytest.raises(ContractError, match=r"403 ACCESS_REFUSED .*topic 'light.fell'.* user 'shop'") as told:
        AmqpPublisher(address(made.stdout), "shop").publish(LightFell(folder="x"))
    assert told.value.status == 403
    shop.close()

    connection: Any = pika.BlockingConnection(pika.URLParameters(address(made.stdout)))
    refused: list[Callable[[Any], object]] = [
        lambda its: its.queue_declare("mine", durable=True),
        lambda its: its.exchange_declare("mine"),
        lambda its: its.basic_get(topology.queue_of("speak.speak")),
        lambda its: its.queue_bind(topology.queue_of("speak.speak"), topology.events, "light.fell"),
        lambda its: its.queue_purge(topology.queue_of("speak.speak")),
    ]
    for forbidden in refused:
        with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
            forbidden(connection.channel())


class HornBlown(Event, type="horn.blown"):
    n: int


class HornMuted(Event, type="horn.muted"):
    n: int


@actor(retry=Backoff(timedelta(seconds=1), timedelta(seconds=1), attempts=2))
def blow(event: HornBlown | HornMuted, run: Run) -> None:
    """Sleeps, and fails once: both go on by a message that is sent straight to the queue."""
    run.sleep(timedelta(minutes=1))
    if run.attempt == 1:
        raise RuntimeError("out of breath")


@pytest.fixture
def stage(own: Cli, node: EmbeddedRabbit, dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A whole engine whose only right at RabbitMQ is to be a worker of its namespace."""
    namespace = f"n{secrets.token_hex(4)}"
    monkeypatch.setenv("CALLBOARD_NAMESPACE", namespace)
    made = own("setup", "rabbitmq", f"{namespace}-house", "--as", "worker")
    settings = Settings(namespace=namespace, threads=2, sweep_interval=timedelta(milliseconds=20), apps=())
    transport = RabbitmqTransport(address(made.stdout), exchange=f"{namespace}.events")
    with Stage(dsn, [blow], transport=transport, settings=settings) as found:
        yield found
    transport.close()
    # To others in the virtual host a worker is somebody who may send to their queues.
    httpx.delete(f"{node.management_url}/api/users/{namespace}-house").raise_for_status()


def test_a_run_sleeps_and_is_tried_again_under_the_users_that_are_made(stage: Stage, own: Cli) -> None:
    namespace = stage.settings.namespace
    made = own("setup", "rabbitmq", f"{namespace}-shop", "--as", "publisher", "--type", "horn.blown")
    shop = RabbitmqTransport(address(made.stdout), exchange=f"{namespace}.events")
    Publisher(shop, "shop").publish(HornBlown(n=1))
    shop.close()
    elsewhere = RabbitmqTransport(address(made.stdout), exchange="amq.topic")
    with pytest.raises(PublishRefusedError, match="may not publish here at all; `callboard setup rabbitmq"):
        Publisher(elsewhere, "shop").publish(HornBlown(n=1))
    elsewhere.close()

    stage.drain()
    for _ in range(2):
        stage.clock.advance(timedelta(minutes=2))
        stage.drain()

    assert stage.rows("select status, attempt from run") == [("completed", 2)]
    assert stage.rows("select count(*) from outbox") == [(0,)]


@pytest.mark.parametrize("way", ["header", "structured", "copy", "wake"])
def test_another_type_behind_an_allowed_key_is_parked(stage: Stage, own: Cli, way: str) -> None:
    """RabbitMQ lets by key. An actor that hears both would take the header's word for it."""
    namespace = stage.settings.namespace
    made = own("setup", "rabbitmq", f"{namespace}-shop", "--as", "publisher", "--type", "horn.blown")
    good = encode(wrap(HornMuted(n=1), source="shop", id="forged"))
    headers: dict[str, Any] = dict(good.headers)
    body, kind = good.body, good.content_type
    if way == "structured":
        event = {name.removeprefix("cloudEvents_"): value for name, value in good.headers.items()}
        body = json.dumps({**event, "data": {"n": 1}}).encode()
        headers, kind = {}, "application/cloudevents+json"
    elif way == "copy":
        headers["CC"] = ["horn.muted"]
    elif way == "wake":
        woken = encode_wake("", uuid7(), uuid7())
        headers, body, kind = {}, woken.body, woken.content_type
    properties = pika.BasicProperties(content_type=kind, headers=headers, delivery_mode=2)
    with pika.BlockingConnection(pika.URLParameters(address(made.stdout))) as connection:
        channel: Any = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish(f"{namespace}.events", "horn.blown", body, properties, mandatory=True)

    eventually(lambda: stage.rows("select 1 from dead_letter"))
    stage.drain()
    assert stage.rows("select count(*) from run") == [(0,)]
    assert {reason for (reason,) in stage.rows("select reason from dead_letter")} == {"undecodable"}


def test_it_plans_repeats_rotates_and_keeps_secrets(own: Cli, node: EmbeddedRabbit, tmp_path: Path) -> None:
    planned = own("setup", "rabbitmq", "mill", "--as", "publisher", "--type", "grain.milled", "--plan")
    assert "user         new" in planned.stdout
    assert "amqp://" not in planned.stdout
    first = own("setup", "rabbitmq", "mill", "--as", "publisher", "--type", "grain.milled")
    again = own("setup", "rabbitmq", "mill", "--as", "publisher", "--type", "grain.*")
    assert "amqp://" not in again.stdout
    assert r"^(grain\..*)$  (was ^(grain\.milled)$)" in again.stdout
    pika.BlockingConnection(pika.URLParameters(address(first.stdout))).close()

    rotated = own("setup", "rabbitmq", "mill", "--as", "publisher", "--type", "grain.*", "--rotate")
    pika.BlockingConnection(pika.URLParameters(address(rotated.stdout))).close()
    with pytest.raises(ProbableAuthenticationError):
        pika.BlockingConnection(pika.URLParameters(address(first.stdout)))

    (tmp_path / "password").write_text("from-a-file\n")
    chosen = own("setup", "rabbitmq", "mill", "--as", "worker", "--password-file", str(tmp_path / "password"))
    assert "from-a-file" not in chosen.output
    place = urlsplit(node.url)
    pika.BlockingConnection(pika.URLParameters(f"amqp://mill:from-a-file@127.0.0.1:{place.port}/%2F")).close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["x", "--as", "publisher"], "say with --type"),
        (["x", "--as", "worker", "--type", "a.b"], "--type is for publishers"),
        (["callboard", "--as", "worker"], "callboard is an administrator"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], words: str, own: Cli) -> None:
    told = own("setup", "rabbitmq", *arguments)
    assert told.exit_code == 1
    assert words in told.stderr


def test_the_doctor_tells_of_users_who_may_too_much(
    own: Cli, node: EmbeddedRabbit, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = own("setup", "rabbitmq", "house", "--as", "worker", "--rotate")
    own("setup", "rabbitmq", "tidy", "--as", "publisher", "--type", "line.spoken")
    node.control("add_user", "greedy", "secret-0815")
    node.control("set_permissions", "greedy", "^$", ".*", "^$")

    node.control("add_user", "peeping", "secret-0815")
    node.control("set_permissions", "peeping", "^$", "^amq.default$", "^speak")

    found = own("doctor").output
    assert "we connect as callboard, an administrator" in found
    assert "user greedy may publish every event type" in found
    assert "user greedy may send straight to every queue" in found
    assert "user peeping may send straight to every queue" in found
    assert "user peeping may declare or read speak.speak" in found
    assert "tidy" not in found
    assert "secret-0815" not in found

    monkeypatch.setenv("CALLBOARD_BROKER_URL", address(worker.stdout))
    node.control("delete_user", "greedy")
    node.control("delete_user", "peeping")
    told = own("doctor").output
    assert "users of RabbitMQ may do their part and no more" in told, told

    node.control("set_permissions", "house", r"^callboard\..*$", ".*", r"^callboard\..*$")
    sick = own("doctor")
    assert sick.exit_code == 1
    assert re.search(r"our user house may not declare .*speak\.speak", sick.output)


def test_without_the_management_plugin_it_says_what_to_do(own: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_RABBITMQ_API", "")
    assert "CALLBOARD_RABBITMQ_API reads http://" in own("setup", "rabbitmq", "x", "--as", "worker").stderr
    monkeypatch.setenv("CALLBOARD_RABBITMQ_API", "http://admin:canary@127.0.0.1:1")
    told = own("setup", "rabbitmq", "x", "--as", "worker")
    assert told.exit_code == 1
    assert "http://127.0.0.1:1 does not answer: ConnectError" in told.stderr
    assert "canary" not in told.output
