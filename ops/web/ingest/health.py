"""What a load balancer and a curious person ask: alive, ready, and which actors this house has."""

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

from psycopg import Connection
from starlette.requests import Request
from starlette.responses import Response

from broker import Settings
from ops.boot import App
from ops.cli.check import policies_of
from ops.web.answers import answered
from ops.web.desk import Desk
from ops.web.ingest.access import Access

PATIENCE = 1.0
"""Seconds for a node of RabbitMQ to take a connection."""

_TABLES = "select from run, outbox, event_key limit 0"


class Health:
    def __init__(self, settings: Settings, desk: Desk, access: Access, loaded: App) -> None:
        self._nodes = [urlsplit(url) for url in settings.broker_urls]
        self._desk = desk
        self._access = access
        self._loaded = loaded

    async def alive(self, _request: Request) -> Response:
        """This process answers."""
        return answered(200, {"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        """Whether an event could be kept: PostgreSQL answers and has our tables. RabbitMQ is told of and not needed."""
        kept = await self._desk.keep(_look)
        database = "away or not migrated" if isinstance(kept, Response) else "ok"
        told = {
            "status": "ok" if database == "ok" else "not ready",
            "database": database,
            "rabbitmq": await self._rabbitmq(),
        }
        return answered(200 if database == "ok" else 503, told)

    async def actors(self, request: Request) -> Response:
        """Names, titles, events and options of all that is loaded."""
        key = await self._access.of_header(request)
        if isinstance(key, Response):
            return key
        actors = [
            {
                "id": actor.name,
                "title": actor.title,
                "hears": [kind.event_type for kind in actor.hears],
                "publishes": [kind.event_type for kind in actor.publishes],
                "options": policies_of(actor),
            }
            for actor in sorted(self._loaded.actors, key=lambda actor: actor.name)
        ]
        return answered(
            200, {"actors": actors, "pipelines": sorted(line.name for line in self._loaded.pipelines)}
        )

    async def _rabbitmq(self) -> str:
        """`ok` once one node takes a connection; `unused` on the postgres transport."""
        for node in self._nodes:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    _, writer = await asyncio.open_connection(node.hostname, node.port or 5672)
                writer.close()
                return "ok"
        return "away" if self._nodes else "unused"


def _look(connection: Connection) -> bool:
    connection.execute(_TABLES)
    return True
