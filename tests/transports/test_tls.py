"""Encrypted links to both servers: real certificates, and what is refused where they are not good."""

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest
import trustme

from broker import ConfigurationError, Run, actor
from broker.errors import TransportUnavailableError
from broker.testing import Stage
from broker.transports.rabbitmq import RabbitmqTransport
from broker.transports.rabbitmq.encryption import encryption
from broker.transports.rabbitmq.link import parse_servers
from ops.contract.publisher import AmqpPublisher, PublishError
from ops.doctor.examination import examine
from ops.doctor.rabbit import connected
from ops.embedded.postgres import EmbeddedPostgres
from ops.embedded.process import free_port
from ops.embedded.rabbitmq import EmbeddedRabbit
from ops.reach import reason_of
from schemas import Event
from tests.support.servers import Rabbit, fresh_database
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
    ours: Path
    """A client's certificate and its key, in one file."""


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    folder = tmp_path_factory.mktemp("papers")
    folder.chmod(0o755)
    found = Papers(
        *(folder / f"{name}.pem" for name in ("authority", "stranger", "certificate", "key", "ours"))
    )
    authority = trustme.CA()
    authority.cert_pem.write_to_path(found.authority)
    trustme.CA().cert_pem.write_to_path(found.stranger)
    servers = authority.issue_cert("localhost")
    servers.cert_chain_pems[0].write_to_path(found.certificate)
    servers.private_key_pem.write_to_path(found.key)
    authority.issue_cert("worker@example.com").private_key_and_cert_chain_pem.write_to_path(found.ours)
    return found


def listening(port: int, papers: Papers) -> dict[str, str]:
    """A node's configuration, for encrypted links at a port."""
    return {
        "listeners.ssl.1": f"127.0.0.1:{port}",
        "ssl_options.cacertfile": str(papers.authority),
        "ssl_options.certfile": str(papers.certificate),
        "ssl_options.keyfile": str(papers.key),
    }


@pytest.fixture(scope="module")
def rabbit_url(papers: Papers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Without a scheme and parameters: `user:password@localhost:port/%2F`."""
    port = free_port()
    with EmbeddedRabbit(tmp_path_factory.mktemp("tls"), configuration=listening(port, papers)) as node:
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
        # As a service does that has the contract's package only.
        AmqpPublisher(f"amqps://{rabbit_url}?cacertfile={papers.authority}", "afar").publish(
            SealBroken(number=50)
        )
        stage.drain()
        assert stage.rows("select status, count(*) from run group by 1") == [("completed", 51)]
    with pytest.raises(PublishError, match="not confirmed"):
        AmqpPublisher(f"amqps://{rabbit_url}?cacertfile={papers.stranger}", "afar").publish(
            SealBroken(number=1)
        )
    with pytest.raises(ValueError, match="not encrypted"):
        AmqpPublisher(f"amqp://{rabbit_url}?cacertfile={papers.authority}", "afar").publish(
            SealBroken(number=1)
        )


def test_a_wrong_authority_or_host_is_refused_with_a_reason(papers: Papers, rabbit_url: str) -> None:
    named = rabbit_url.replace("localhost", "127.0.0.1")
    for url, reason in (
        (
            f"amqps://{rabbit_url}?cacertfile={papers.stranger}",
            "verify failed.*: name the authority .*cacertfile=",
        ),
        (f"amqps://{rabbit_url}", "verify failed.*: name the authority .*cacertfile="),
        (f"amqps://{named}?cacertfile={papers.authority}", "IP address mismatch.*: connect by a name that"),
    ):
        with pytest.raises(TransportUnavailableError, match=reason), connected([url], "test"):
            pass
    with connected([f"amqps://{rabbit_url}?cacertfile={papers.authority}"], "test") as rabbit:
        assert rabbit.version


def test_our_own_certificate_is_shown_to_who_asks_for_one(
    papers: Papers, tmp_path_factory: pytest.TempPathFactory
) -> None:
    port = free_port()
    configuration = listening(port, papers) | {
        "ssl_options.verify": "verify_peer",
        "ssl_options.fail_if_no_peer_cert": "true",
    }
    with EmbeddedRabbit(tmp_path_factory.mktemp("mutual"), configuration=configuration) as node:
        plain = urlsplit(node.url)
        url = f"amqps://{plain.username}:{plain.password}@localhost:{port}/%2F?cacertfile={papers.authority}"
        with (
            pytest.raises(TransportUnavailableError, match="certfile= and keyfile="),
            connected([url], "test"),
        ):
            pass
        transport = RabbitmqTransport(f"{url}&certfile={papers.ours}", exchange="none")
        with pytest.raises(ConfigurationError, match="does not exist"):
            transport.depth("none")
        transport.close()


def test_what_is_not_encrypted_is_not_taken_for_it(papers: Papers, rabbit_url: str) -> None:
    """A port that speaks TLS does not speak AMQP, and the other way round; neither is fallen back upon."""
    for scheme, reason in (("amqp", "is for an encrypted link"), ("amqps", "cannot be used")):
        with pytest.raises(ConfigurationError, match=reason) as told:
            parse_servers(
                [f"{scheme}://guest:secret@localhost/?cacertfile=/nowhere.pem"],
                name="test",
                heartbeat=timedelta(seconds=10),
            )
        assert "secret" not in str(told.value)
    with pytest.raises(ConfigurationError, match="keyfile= is the key of a certificate"):
        encryption(f"amqps://localhost/?keyfile={papers.key}")
    with pytest.raises(TransportUnavailableError), connected([f"amqp://{rabbit_url}"], "test"):
        pass


def test_encryption_at_a_plain_port_is_told(rabbit: Rabbit) -> None:
    url = rabbit.url.replace("amqp://", "amqps://").replace("127.0.0.1", "localhost")
    with pytest.raises(TransportUnavailableError, match="amqps:// is 5671"), connected([url], "test"):
        pass


def test_postgresql_is_refused_too(papers: Papers, encrypted_dsn: str, tmp_path: Path) -> None:
    for wrong, reason in (
        (secured(encrypted_dsn, papers.stranger), "verify failed: name the authority .*sslrootcert="),
        (
            secured(encrypted_dsn, papers.authority, "127.0.0.1"),
            "does not match host name .*: connect by a name",
        ),
        (secured(encrypted_dsn, tmp_path / "none.pem"), 'none.pem" does not exist: name the file'),
        (f"{encrypted_dsn}?sslmode=disable", "closed the connection"),
    ):
        with pytest.raises(psycopg.OperationalError) as refused:
            psycopg.connect(wrong)
        assert re.search(reason, reason_of(refused.value)), reason_of(refused.value)
        assert "change sslmode" not in reason_of(refused.value)
    with psycopg.connect(secured(encrypted_dsn, papers.authority)) as connection:
        assert connection.pgconn.ssl_in_use


def test_a_postgresql_without_encryption_is_not_gone_on_with(
    postgres: EmbeddedPostgres, papers: Papers
) -> None:
    with pytest.raises(psycopg.OperationalError) as refused:
        psycopg.connect(secured(postgres.tcp_dsn, papers.authority))
    assert "does not support SSL" in reason_of(refused.value)
    assert "switch encryption on at the server" in reason_of(refused.value)


def test_the_doctor_says_whether_links_are_encrypted(
    papers: Papers, rabbit_url: str, encrypted_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", secured(encrypted_dsn, papers.authority))
    monkeypatch.setenv("CALLBOARD_BROKER_URL", f"amqps://{rabbit_url}?cacertfile={papers.authority}")
    found = {each.id: each for each in examine().findings}
    assert found["database-link"].found == (
        "the link to PostgreSQL is encrypted, and its certificate verified (sslmode=verify-full)"
    )
    assert found["broker-link"].found == "the link to RabbitMQ is encrypted, and its certificate verified"

    monkeypatch.setenv("CALLBOARD_BROKER_URL", f"amqps://{rabbit_url}?cacertfile={papers.stranger}")
    [told] = [each for each in examine().findings if each.id == "rabbitmq"]
    assert told.state == "fail" and "name the authority" in told.found


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
    assert context is not None
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
