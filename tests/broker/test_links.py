"""Addresses that insist on an encrypted link, and the setting that refuses all others."""

import pytest

from broker import ConfigurationError, load_settings
from broker.links import dsn_insists, insists, is_here

DSN = "postgresql://ada:hunter2@db.example.com/callboard"


@pytest.mark.parametrize(
    "host", [None, "", "localhost", "127.0.0.1", "127.8.8.8", "::1", "[::1]", "/run/postgresql"]
)
def test_this_machine_is_known(host: str | None) -> None:
    assert is_here(host)


@pytest.mark.parametrize(
    "host", ["localhost.example.com", "127.evil.example.com", "10.0.0.1", "192.168.0.1", "db"]
)
def test_others_are_not_taken_for_it(host: str) -> None:
    assert not is_here(host)


@pytest.mark.parametrize(
    ("dsn", "does"),
    [
        (DSN, False),
        (f"{DSN}?sslmode=prefer", False),
        (f"{DSN}?sslmode=require", False),
        (f"{DSN}?sslmode=verify-ca", True),
        (f"{DSN}?sslmode=verify-full", True),
        ("host=/run/postgresql dbname=x", True),
        ("host=localhost,db.example.com dbname=x", False),
        ("host=localhost hostaddr=10.0.0.1 dbname=x", False),
    ],
)
def test_a_dsn_insists_by_its_mode(dsn: str, does: bool) -> None:
    assert dsn_insists(dsn) is does


def test_an_address_insists_by_its_scheme() -> None:
    assert insists("amqps://rabbit.example.com/") and insists("amqp://127.0.0.1/")
    assert not insists("amqp://rabbit.example.com/")


def test_plain_addresses_are_refused_by_name_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", DSN)
    monkeypatch.setenv("CALLBOARD_BROKER_URL", "amqps://rabbit-1/,amqp://ada:hunter2@rabbit-2/")
    monkeypatch.setenv("CALLBOARD_RABBITMQ_API", "https://admin:hunter2@rabbit-1")
    assert load_settings().database.url == DSN

    monkeypatch.setenv("CALLBOARD_REQUIRE_TLS", "1")
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert "CALLBOARD_DATABASE_URL, CALLBOARD_BROKER_URL: CALLBOARD_REQUIRE_TLS is on" in str(refused.value)
    assert "hunter2" not in str(refused.value)

    monkeypatch.setenv("CALLBOARD_DATABASE_URL", f"{DSN}?sslmode=verify-full")
    monkeypatch.setenv("CALLBOARD_BROKER_URL", "amqps://rabbit-1/")
    assert load_settings().require_tls
