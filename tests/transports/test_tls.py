"""Encrypted links to both servers: real certificates, and what is refused where they are not good."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest
import trustme

from broker import ConfigurationError, Run, actor
from broker.errors import TransportUnavailableError
from broker.testing import Stage
from broker.transports.rabbitmq import RabbitmqTransport
from broker.transports.rabbitmq.link import encryption
from ops.doctor.rabbit import connected
from ops.embedded.postgres import EmbeddedPostgres
from ops.embedded.process import free_port
from ops.embedded.rabbitmq import EmbeddedRabbit
from schemas import Event
from tests.support.servers import fresh_database
from tests.support.tls_door import encrypted_door


class SealBroken(Event, type="seal.broken"):
    number: int


@actor()
def mend(event: SealBroken, run: Run) -> None:
    run.step("melt", int, event.number)


@dataclass(frozen=True)
class Papers:
    """Files in PEM: who signs, somebody else who signs, and the servers' certificate, good for `localhost` alone."""

    authority: Path
    stranger: Path
    certificate: Path
    key: Path


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    folder = tmp_path_factory.mktemp("papers")
    folder.chmod(0o755)
    found = Papers(*(folder / f"{name}.pem" for name in ("authority", "stranger", "certificate", "key")))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(found.authority)
    trustme.CA().cert_pem.write_to_path(found.stranger)
    ours = authority.issue_cert("localhost")
    ours.cert_chain_pems[0].write_to_path(found.certificate)
    ours.private_key_pem.write_to_path(found.key)
    return found


@pytest.fixture(scope="module")
def rabbit_url(papers: Papers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Without a scheme and parameters: `user:password@localhost:port/%2F`."""
    port = free_port()
    configuration = {
        "listeners.ssl.1": f"127.0.0.1:{port}",
        "ssl_options.cacertfile": str(papers.authority),
        "ssl_options.certfile": str(papers.certificate),
        "ssl_options.keyfile": str(papers.key),
    }
    with EmbeddedRabbit(tmp_path_factory.mktemp("tls"), configuration=configuration) as node:
        plain = urlsplit(node.url)
        yield f"{plain.username}:{plain.password}@localhost:{port}/%2F"


@pytest.fixture(scope="module")
def encrypted_dsn(papers: Papers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Without parameters. The embedded PostgreSQL is built without OpenSSL, so its door stands before it."""
    with (
        EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), port=free_port()) as server,
        encrypted_door(urlsplit(server.tcp_dsn).port or 0, papers.certificate, papers.key) as port,
    ):
        yield server.tcp_dsn.replace(f":{urlsplit(server.tcp_dsn).port}/", f":{port}/")


def secured(dsn: str, authority: Path, host: str = "localhost") -> str:
    return f"{dsn.replace('127.0.0.1', host)}?sslmode=verify-full&sslrootcert={quote(str(authority))}"


def test_a_run_over_two_encrypted_links(papers: Papers, rabbit_url: str, encrypted_dsn: str) -> None:
    transport = RabbitmqTransport(
        f"amqps://{rabbit_url}?cacertfile={papers.authority}", exchange="callboard.events"
    )
    with (
        fresh_database(secured(encrypted_dsn, papers.authority)) as dsn,
        Stage(dsn, [mend], transport=transport) as stage,
    ):
        for number in range(50):
            stage.publish(SealBroken(number=number))
        stage.drain()
        assert stage.rows("select status, count(*) from run group by 1") == [("completed", 50)]


def test_a_wrong_authority_or_host_is_refused_with_a_reason(papers: Papers, rabbit_url: str) -> None:
    named = rabbit_url.replace("localhost", "127.0.0.1")
    for url, reason in (
        (f"amqps://{rabbit_url}?cacertfile={papers.stranger}", "certificate verify failed"),
        (f"amqps://{rabbit_url}", "certificate verify failed"),
        (f"amqps://{named}?cacertfile={papers.authority}", "IP address mismatch"),
    ):
        with pytest.raises(TransportUnavailableError, match=reason), connected([url], "test"):
            pass
    with connected([f"amqps://{rabbit_url}?cacertfile={papers.authority}"], "test") as rabbit:
        assert rabbit.version


def test_postgresql_is_refused_too(papers: Papers, encrypted_dsn: str) -> None:
    for wrong, reason in (
        (secured(encrypted_dsn, papers.stranger), "certificate verify failed"),
        (secured(encrypted_dsn, papers.authority, "127.0.0.1"), "does not match host name"),
        (f"{encrypted_dsn}?sslmode=disable", "closed the connection"),
    ):
        with pytest.raises(psycopg.OperationalError, match=reason):
            psycopg.connect(wrong)
    with psycopg.connect(secured(encrypted_dsn, papers.authority)) as connection:
        assert connection.pgconn.ssl_in_use


@pytest.mark.parametrize("parameter", ["verify=verify_none", "ssl_options={'verify_mode': 0}"])
def test_no_parameter_of_the_address_switches_a_check_off(parameter: str) -> None:
    with pytest.raises(ConfigurationError, match="certificates are always verified"):
        RabbitmqTransport(f"amqps://guest:secret@localhost/?{parameter}", exchange="e")


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"nowhere\.pem cannot be used \(FileNotFoundError\)"
    ) as told:
        encryption(f"amqps://guest:secret@localhost/?cacertfile={tmp_path}/nowhere.pem")
    assert "secret" not in str(told.value)
    (tmp_path / "empty.pem").touch()
    with pytest.raises(ConfigurationError, match=r"empty\.pem cannot be used"):
        encryption(f"amqps://localhost/?cacertfile={tmp_path}/empty.pem")


def test_what_is_taken_is_verified() -> None:
    context = encryption("amqps://localhost/")
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
