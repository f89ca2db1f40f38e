"""Events that this code does not know: during a deploy newer workers do. They wait as rows, are offered again and again, and are
parked only when nobody has known them for the grace.

delivery of an unknown type or version ─ row of `outbox`, due in 2 s … 1 min ─ the same queue ─ whoever takes it
run with such an event, resumed here   ─ row of `run`, due likewise          ─ the same queue ─ whoever takes it
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import NAMESPACE_OID

from psycopg import Connection

from broker.journal.intents import Outgoing
from broker.signals import Postpone
from broker.transports.base import Delivery, WireMessage
from schemas import Envelope, derived

UNKNOWN_SINCE = "callboard-unknown-since"
"""Header of a message that waits: when it was first found unknown, and how often since."""
FIRST = timedelta(seconds=2)
LONGEST = timedelta(minutes=1)
"""A pause is as long as what has been waited already, between these two: a row is written some twenty times in 15 minutes."""
UNREAD = "waits for newer code: nobody here knows its event's type or version"

# Whoever has just started may know them. There are as many rows as unknown events, and few other ones.
_DUE_NOW = (
    "update outbox set send_at = clock() where headers ? 'callboard-unknown-since' and send_at > clock()"
)


class Unread(Postpone):
    """The run's stored event is newer than this code: another worker may read it."""

    def __init__(self, delay: timedelta) -> None:
        super().__init__(delay, UNREAD)


class Patience:
    """How long the unknown waits: at most `grace`. Zero parks it at once."""

    def __init__(self, grace: timedelta = timedelta(0)) -> None:
        self.grace = grace

    def pause(self, waited: timedelta) -> timedelta | None:
        """How long to wait now; None when it is over."""
        left = self.grace - waited
        return min(max(waited, FIRST), LONGEST, left) if left > timedelta(0) else None

    def again(self, delivery: Delivery, envelope: Envelope, now: datetime | None = None) -> Outgoing | None:
        """The same message for the same queue, later; None when it has waited long enough."""
        now = now or datetime.now(UTC)
        since, times = _read(delivery.headers.get(UNKNOWN_SINCE, ""), now)
        delay = self.pause(now - since)
        if delay is None:
            return None
        headers = {**delivery.headers, UNKNOWN_SINCE: f"{since.isoformat()} {times + 1}"}
        message = WireMessage(delivery.queue, delivery.body, headers, delivery.content_type, direct=True)
        # A second copy of this delivery makes the same row, the next round another one: the last may still be on its way out.
        names = (delivery.queue, envelope.source, envelope.id, sha256(delivery.body).hexdigest())
        return Outgoing(derived(NAMESPACE_OID, *names, since.isoformat(), times), message, delay)


def without_wait(headers: Mapping[str, str]) -> dict[str, str]:
    """For a replay: what was parked waits anew."""
    return {name: value for name, value in headers.items() if name != UNKNOWN_SINCE}


def offer_now(connection: Connection) -> int:
    """Make due what waits for newer code; returns how many. For a worker that has just started."""
    return connection.execute(_DUE_NOW).rowcount


def _read(header: str, now: datetime) -> tuple[datetime, int]:
    """What the header says, where it can be: a publisher may write anything into it."""
    text, _, count = header.partition(" ")
    try:
        since = datetime.fromisoformat(text)
        times = int(count)
    except ValueError:
        return now, 0
    if since.tzinfo is None or since > now or not 0 <= times < 1_000_000:
        return now, 0
    return since, times
