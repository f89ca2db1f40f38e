"""A Callboard on either transport, and a site to scan."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.demo_site.server import DemoSite
from tests.support.installation import Installation, installed, topology_of_the_demo
from tests.support.otlp import Receiver, running_receiver
from tests.support.rabbit import empty_queues
from tests.support.trial_crew import trial_topology


@pytest.fixture
def amqp_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The shared RabbitMQ, with our queues empty before and after."""
    url: str = request.getfixturevalue("rabbit").url
    topologies = topology_of_the_demo(), trial_topology()
    press = {"press.print", "press.post", "press.hold"}
    queues = press | {queue for each in topologies for queue in (*each.queues, *each.house_queues)}
    empty_queues(url, queues)
    yield url
    empty_queues(url, queues)


@pytest.fixture(params=["rabbitmq", "postgres"])
def transport_url(request: pytest.FixtureRequest) -> str:
    """Each test runs on both transports; the `postgres` one has no URL of its own."""
    return str(request.getfixturevalue("amqp_url")) if request.param == "rabbitmq" else ""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture
def site() -> Iterator[DemoSite]:
    with DemoSite() as site:
        yield site


@pytest.fixture
def on_rabbitmq(dsn: str, amqp_url: str, site: DemoSite, tmp_path: Path) -> Installation:
    return installed(dsn, amqp_url, tmp_path, CALLBOARD_PAGES_ALLOWED_HOSTS=site.host)


@pytest.fixture
def on_either(dsn: str, transport_url: str, site: DemoSite, tmp_path: Path) -> Installation:
    return installed(dsn, transport_url, tmp_path, CALLBOARD_PAGES_ALLOWED_HOSTS=site.host)
