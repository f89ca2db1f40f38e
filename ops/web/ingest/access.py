"""Who may publish: a live event key for the type and source of each event, as often as it says."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from broker import Settings
from broker.event_keys import EventKey, find
from ops.web.answers import refused
from ops.web.desk import Desk
from ops.web.ingest.faults import Fault, RefusedError
from schemas import Envelope

OPEN = EventKey(
    UUID(int=0), "open", ("*",), ("*",), None, datetime.fromtimestamp(0, UTC), "nobody", None, None
)
"""Stands for everybody where no key is asked for."""
MOST_BYTES = 255
"""Of a secret: ours have 47."""


@dataclass(slots=True)
class Bucket:
    """Events that a key may still publish now; it fills up at its rate, to what one second brings."""

    left: float
    at: float = field(default_factory=time.monotonic)


class Access:
    """One for all doors. Nothing is kept of a key but its bucket, so a revoked one is refused at once."""

    def __init__(self, settings: Settings, desk: Desk) -> None:
        self._open = settings.ingest_open
        self._desk = desk
        self._buckets: dict[UUID, Bucket] = {}

    async def of_header(self, request: Request) -> EventKey | Response:
        """By `Authorization: Bearer`."""
        word, _, given = request.headers.get("authorization", "").partition(" ")
        return await self.of(given.strip() if word.lower() == "bearer" else "")

    async def of(self, secret: str) -> EventKey | Response:
        """The key, or the answer to give."""
        if secret and len(secret) <= MOST_BYTES and secret.isprintable():
            found = await self._desk.keep(lambda connection: find(connection, secret))
            if found is not None:
                return found
        if self._open:
            return OPEN
        return refused(
            401, "key", "a live event key is needed: `callboard keys create`", www_authenticate="Bearer"
        )

    def check(self, key: EventKey, envelopes: Sequence[Envelope]) -> None:
        """Raises RefusedError: 403 for a type or source that is not the key's, 429 for more than it may publish now."""
        faults = [
            fault
            for place, each in enumerate(envelopes)
            for fault in _outside(key, each, place, len(envelopes))
        ]
        if faults:
            raise RefusedError(403, "scope", f"the key {key.name!r} may not publish this", faults)
        if (wait := self._wait(key, len(envelopes))) > 0:
            raise RefusedError(
                429, "rate", f"the key {key.name!r} may publish {key.rate:g} events a second", retry=wait
            )

    def _wait(self, key: EventKey, events: int) -> float:
        """Seconds until there is room again; 0 takes it. More events than a second brings pass once the bucket is full."""
        if key.rate is None:
            return 0.0
        most, now = max(key.rate, 1.0), time.monotonic()
        bucket = self._buckets.setdefault(key.id, Bucket(most))
        bucket.left = min(most, bucket.left + (now - bucket.at) * key.rate)
        bucket.at = now
        missing = min(events, most) - bucket.left
        if missing > 0:
            return missing / key.rate
        bucket.left -= events
        return 0.0


def _outside(key: EventKey, envelope: Envelope, place: int, of: int) -> list[Fault]:
    at = f"[{place}]." if of > 1 else ""
    faults: list[Fault] = []
    if not key.allows_type(envelope.type):
        faults.append(Fault(f"{at}type", "is not among the types of this key"))
    if not key.allows_source(envelope.source):
        faults.append(Fault(f"{at}source", "is not among the sources of this key"))
    return faults
