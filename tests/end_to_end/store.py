"""This house on a database and a transport of a test, with a publisher."""

from typing import Any

from broker import Publisher
from broker.database import Database
from broker.migrate import engine_migrations, migrate
from broker.transports.postgres import PostgresTransport
from broker.transports.rabbitmq import RabbitmqTransport
from tests.actors.stages import ACTORS, domains

HOUSE_DOMAINS = sorted(room.parent.name for room in ACTORS.glob("*/sql"))


class Store:
    """`settings` are for a worker process of the house."""

    def __init__(self, dsn: str, amqp: str) -> None:
        self.dsn = dsn
        self.database = Database(dsn)
        migrate(self.database, [*engine_migrations(self.database.schema), *domains(*HOUSE_DOMAINS)])
        transport = RabbitmqTransport(amqp) if amqp else PostgresTransport(self.database)
        self.publisher = Publisher(transport, "test", self.database)
        self.settings = {"APPS": "", "DEMO": "1", **({"BROKER_URL": amqp} if amqp else {})}

    def rows(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        with self.database.once("test") as connection:
            return connection.execute(statement.encode(), values or None).fetchall()
