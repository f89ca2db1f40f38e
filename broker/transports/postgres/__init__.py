"""The `postgres` transport: routing in SQL, one consuming thread and one publishing thread a process."""

from broker.transports.postgres.delivery import PostgresDelivery
from broker.transports.postgres.route import RELEASE_HELD, route
from broker.transports.postgres.transport import PostgresTransport

__all__ = ["PostgresTransport", "PostgresDelivery", "route", "RELEASE_HELD"]
