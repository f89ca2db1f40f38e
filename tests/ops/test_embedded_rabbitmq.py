"""The private RabbitMQ: its life, its crashes, and what it says when it cannot start."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import httpx
import pika
import pytest

from ops.embedded import rabbitmq_install
from ops.embedded.process import BinariesMissingError, DirectoryInUseError, EmbeddedError, command_line
from ops.embedded.rabbitmq import EmbeddedRabbit
from tests.support.waiting import eventually

CHILD = """
import sys
from pathlib import Path
from ops.embedded.rabbitmq import EmbeddedRabbit
server = EmbeddedRabbit(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    try:
        rabbitmq_install.find_rabbitmq()
    except BinariesMissingError:
        if "CALLBOARD_TEST_AMQP_URL" not in os.environ:
            raise
        pytest.skip("RabbitMQ is given by CALLBOARD_TEST_AMQP_URL, and not installed here")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRabbit]:
    made = EmbeddedRabbit(tmp_path / "node")
    made.start()
    yield made
    made.kill()


def publish(url: str, body: bytes) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.queue_declare("kept", durable=True, arguments={"x-queue-type": "quorum"})
    channel.confirm_delivery()
    channel.basic_publish("", "kept", body, pika.BasicProperties(delivery_mode=2), mandatory=True)
    connection.close()


def take(url: str) -> bytes | None:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        *_, body = connection.channel().basic_get("kept", auto_ack=True)
        # types-pika says text, the wire says bytes.
        return cast("bytes | None", body)
    finally:
        connection.close()


def test_confirmed_messages_survive_stop_and_kill_at_the_same_address(server: EmbeddedRabbit) -> None:
    address = server.url
    with pytest.raises(DirectoryInUseError, match=rf"in use by process {os.getpid()}"):
        EmbeddedRabbit(server.directory).start()
    publish(address, b"one")
    publish(address, b"two")
    server.stop()
    server.start()
    assert eventually(lambda: take(address)) == b"one"
    server.kill()
    server.start()
    assert server.url == address
    assert eventually(lambda: take(address)) == b"two"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel tells children only on Linux")
def test_kill_9_of_the_supervisor_takes_the_node_and_its_epmd_down(tmp_path: Path) -> None:
    supervisor = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "node")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert supervisor.stdout is not None
    node = int(supervisor.stdout.readline())
    children = [
        int(pid)
        for listed in Path(f"/proc/{supervisor.pid}/task").glob("*/children")
        for pid in listed.read_text().split()
    ]
    assert node in children
    assert len(children) == 2
    supervisor.kill()
    supervisor.communicate()
    eventually(lambda: all(command_line(pid) is None for pid in children))


def test_the_management_api_answers_when_asked_for_and_so_does_rabbitmqctl(tmp_path: Path) -> None:
    server = EmbeddedRabbit(tmp_path / "node", management=True)
    server.start()
    try:
        assert httpx.get(f"{server.management_url}/api/overview").json()["node"] == "callboard@localhost"
        assert server.control("list_vhosts").split() == ["name", "/"]
        with pytest.raises(EmbeddedError, match="rabbitmqctl no_such_command ended with status"):
            server.control("no_such_command")
    finally:
        server.kill()


def test_what_is_not_running_says_so(tmp_path: Path) -> None:
    server = EmbeddedRabbit(tmp_path / "node")
    for look in (lambda: server.pid, lambda: server.url):
        with pytest.raises(EmbeddedError, match="call start"):
            look()
    with pytest.raises(EmbeddedError, match="management=True"):
        _ = server.management_url


def test_without_rabbitmq_the_ways_out_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CALLBOARD_RABBITMQ_ROOT", str(tmp_path))
    with pytest.raises(BinariesMissingError, match=r"rabbitmq_install.*CALLBOARD_BROKER_URL"):
        rabbitmq_install.find_rabbitmq()
