"""Fixtures that every room uses: the two servers, started when the first test asks, and a database a test."""

import os
from collections.abc import Generator, Iterator

import pytest

from ops.embedded.postgres import EmbeddedPostgres
from ops.embedded.rabbitmq_cluster import RabbitCluster
from tests.support.otlp import Receiver, running_receiver
from tests.support.servers import Rabbit, fresh_database, running_cluster, running_postgres, running_rabbit
from tests.support.web import Web, serving


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A report travels between processes as UTF-8, and some tests log what no UTF-8 can say."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL for the session. A test that stops or kills it starts it again, or makes its own."""
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rabbit]:
    """A RabbitMQ for the session; tests keep apart by the names of what they declare."""
    with running_rabbit(tmp_path_factory.mktemp("rabbit")) as server:
        yield server


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitCluster]:
    """Three RabbitMQ nodes. A test that kills one starts it again."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


@pytest.fixture
def dsn(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A fresh, empty database; gone after the test."""
    with fresh_database(postgres.dsn) as fresh:
        yield fresh


@pytest.fixture
def web() -> Iterator[Web]:
    """A web server on the loopback address; the test says what it answers."""
    with serving() as server:
        yield server


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """An OTLP endpoint, which the environment of this process names and nothing else of OpenTelemetry's."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    with running_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        yield receiver
