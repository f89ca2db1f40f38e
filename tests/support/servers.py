"""The real servers of a test session, and a database of its own for every test."""

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ops.embedded.postgres import EmbeddedPostgres
from ops.embedded.process import BinariesMissingError, free_port
from ops.embedded.rabbitmq_cluster import RabbitCluster
from ops.embedded.rabbitmq_install import find_rabbitmq


class Rabbit(Protocol):
    """A RabbitMQ that a test may use; only the embedded one can also be stopped and killed."""

    @property
    def url(self) -> str: ...


@dataclass(frozen=True)
class GivenRabbit:
    """The server that CALLBOARD_TEST_AMQP_URL names; not ours to stop."""

    url: str


@contextmanager
def running_postgres(directory: Path) -> Generator[EmbeddedPostgres]:
    """Durable as in production (fsync on), on a socket and on TCP, where a proxy can stand in front."""
    with EmbeddedPostgres(directory, settings={"max_connections": "200"}, port=free_port()) as server:
        yield server


@contextmanager
def running_rabbit(directory: Path) -> Generator[Rabbit]:
    """The named server, or one of our own (5 to 8 s)."""
    if given := os.environ.get("CALLBOARD_TEST_AMQP_URL"):
        yield GivenRabbit(given)
        return
    from ops.embedded.rabbitmq import EmbeddedRabbit

    server = EmbeddedRabbit(directory)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def running_cluster(directory: Path) -> Generator[RabbitCluster]:
    """Three nodes of our own (15 to 30 s), whatever server is given: nobody else's is ours to kill. Skips the test where RabbitMQ
    is given and not installed."""
    try:
        find_rabbitmq()
    except BinariesMissingError:
        if "CALLBOARD_TEST_AMQP_URL" not in os.environ:
            raise
        pytest.skip(
            "a cluster takes three nodes of our own, and RabbitMQ is given by URL and not installed here"
        )
    with RabbitCluster(directory) as cluster:
        yield cluster


@contextmanager
def fresh_database(server_dsn: str, template: str = "template0") -> Generator[str]:
    """A database of its own, empty or a copy of `template`; dropped afterwards, open sessions or not."""
    name = f"test_{secrets.token_hex(6)}"
    run_on_server(
        server_dsn,
        sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(template)),
    )
    try:
        yield on_database(server_dsn, name)
    finally:
        run_on_server(
            server_dsn, sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
        )


def on_database(server_dsn: str, name: str) -> str:
    """The same server, another database."""
    return make_conninfo(**{**conninfo_to_dict(server_dsn), "dbname": name})  # type: ignore[arg-type]


def run_on_server(server_dsn: str, statement: sql.Composed) -> None:
    """Outside of a transaction, as `create database` wants it."""
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        connection.execute(statement)
