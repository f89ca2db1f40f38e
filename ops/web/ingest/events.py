"""`POST /events` and `POST /e/{key}`: key, size, decoding, validation, then all events in one commit, then 202."""

from collections.abc import Callable, Sequence

from psycopg import Connection
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from broker import Settings
from broker.event_keys import EventKey
from ops.web.answers import answered, refused
from ops.web.body import BodyError, read_body
from ops.web.desk import Desk
from ops.web.ingest.access import Access
from ops.web.ingest.faults import RefusedError
from ops.web.ingest.reading import Reading
from schemas import Envelope

MAX_BYTES = 4 * 1024 * 1024
"""Of a request: four of the largest events, or a thousand of 4 kB."""
AT_ONCE = 64 * 1024
"""Bytes that are read on the event loop, in some 2 ms; more go to a thread, so that nobody waits for them."""

Read = Callable[[bytes], list[Envelope]]


class EventsDoor:
    """What is answered 202 is a row of the outbox: the relay sends it, whatever RabbitMQ does."""

    def __init__(self, settings: Settings, desk: Desk, access: Access) -> None:
        self._desk = desk
        self._access = access
        self._reading = Reading(settings.hard_event_bytes, settings.dedup_window)

    async def cloud_events(self, request: Request) -> Response:
        """The same (source, id) again is answered the same, and starts nothing twice."""
        key = await self._access.of_header(request)
        if isinstance(key, Response):
            return key
        kept = await self._kept(request, key, lambda body: self._reading.cloud_events(body, request.headers))
        return kept if isinstance(kept, Response) else answered(202, {"ids": kept})

    async def plain(self, request: Request) -> Response:
        """As event-function services answer: 200, with the ids and the status in the body."""
        key = await self._access.of(request.path_params["key"])
        if isinstance(key, Response):
            return key
        source = f"event-key/{key.name}"
        kept = await self._kept(request, key, lambda body: self._reading.plain(body, source))
        return kept if isinstance(kept, Response) else answered(200, {"ids": kept, "status": 200})

    async def _kept(self, request: Request, key: EventKey, read: Read) -> list[str] | Response:
        try:
            body = await read_body(request, MAX_BYTES)
            envelopes = await run_in_threadpool(read, body) if len(body) > AT_ONCE else read(body)
            self._access.check(key, envelopes)
        except BodyError as error:
            return refused(error.code, error.type, str(error))
        except RefusedError as error:
            return error.answer()
        return await self._desk.keep(lambda connection: self._write(connection, envelopes))

    def _write(self, connection: Connection, envelopes: Sequence[Envelope]) -> list[str]:
        with connection.transaction():
            self._desk.publisher.forward(envelopes, connection)
        return [envelope.id for envelope in envelopes]
