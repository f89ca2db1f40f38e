"""Taking a delivery: its row and its events in one commit, and the row again for whoever sends it a second time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from psycopg import Connection
from psycopg.rows import class_row

from broker.errors import EventTooLargeError
from broker.publisher import Publisher
from broker.seldom import Seldom
from broker.telling import describe
from broker.webhooks.webhook import Webhook, WebhookDelivery
from schemas import Event

# A second one that comes at the same time waits for the first's commit here.
_TAKE = """
insert into webhook_delivery (webhook, id, topic, shop_id, received_at, mapped, problem, types, events)
values (%s, %s, %s, %s, clock(), %s, %s, %s, %s) on conflict (webhook, id) do nothing returning true"""
_EVENTS = "update webhook_delivery set events = %s where webhook = %s and id = %s"
_COLUMNS = "webhook, id, topic, shop_id, received_at, mapped, problem, types, events"
_ONE = f"select {_COLUMNS} from webhook_delivery where webhook = %s and id = %s"  # noqa: S608  our own columns
_ALL = f"""
select {_COLUMNS} from webhook_delivery
where (%(webhook)s::text is null or webhook = %(webhook)s) and (mapped is false or not %(unmapped)s)
order by received_at desc limit %(limit)s"""  # noqa: S608
_COUNTS = """
select webhook, count(*), count(*) filter (where not mapped), max(received_at)
from webhook_delivery where received_at > clock() - %s::interval group by webhook"""

log = structlog.get_logger(__name__)
_said = Seldom()


@dataclass(frozen=True, slots=True)
class Taken:
    """A delivery as it was taken the first time. `mapped` is false where it left as `webhook.received` for want of something
    better; `problem` says why the mapping failed, if it did."""

    webhook: str
    id: str
    topic: str
    shop_id: str | None
    received_at: datetime
    mapped: bool
    problem: str | None
    types: list[str]
    events: list[str]


@dataclass(frozen=True, slots=True)
class Count:
    """Of one webhook, in a period."""

    webhook: str
    deliveries: int
    unmapped: int
    last_at: datetime


def take(
    connection: Connection, publisher: Publisher, webhook: Webhook, delivery: WebhookDelivery
) -> tuple[Taken, bool]:
    """The delivery's row, and whether this was its first time. Commits; the events leave with that commit.

    What the body says is not compared with the first time: Stripe repeats an event with another `pending_webhooks`. Raises
    psycopg errors, EventTooLargeError, and InvalidPayload for an id that cannot be one.
    """
    events, problem = _mapped(webhook, delivery)
    mapped = bool(events)
    if not events:
        events = [delivery.received()]
    ids = [delivery.id if place == 0 else f"{delivery.id}:{place}" for place in range(len(events))]
    facts = (webhook.name, delivery.id, delivery.topic, delivery.shop_id, mapped, problem)
    with connection.transaction():
        first = connection.execute(_TAKE, (*facts, [type(e).event_type for e in events], ids)).fetchone()
        if first is not None:
            _publish(publisher, webhook, events, ids, connection)
        with connection.cursor(row_factory=class_row(Taken)) as cursor:
            taken = cursor.execute(_ONE, (webhook.name, delivery.id)).fetchone()
    assert taken is not None  # ours, or the first's, whose commit has been waited for
    if first is not None and not mapped:
        _tell(webhook, delivery, problem)
    return taken, first is not None


def once(connection: Connection, caller: str, id: str, topic: str, make: Callable[[], str]) -> str:
    """What `make` returned, an event's id, the first time that this caller came with this id; it runs in that commit."""
    with connection.transaction():
        empty: list[str] = []
        if (
            connection.execute(_TAKE, (caller, id, topic, None, True, None, [topic], empty)).fetchone()
            is not None
        ):
            connection.execute(_EVENTS, ([made := make()], caller, id))
            return made
        with connection.cursor(row_factory=class_row(Taken)) as cursor:
            taken = cursor.execute(_ONE, (caller, id)).fetchone()
    assert taken is not None  # the first's, whose commit has been waited for
    return taken.events[0]


def deliveries(
    connection: Connection, webhook: str | None, *, unmapped: bool = False, limit: int = 20
) -> list[Taken]:
    """Latest first."""
    with connection.cursor(row_factory=class_row(Taken)) as cursor:
        return cursor.execute(_ALL, {"webhook": webhook, "unmapped": unmapped, "limit": limit}).fetchall()


def counts(connection: Connection, period: timedelta) -> dict[str, Count]:
    """By webhook."""
    rows = connection.execute(_COUNTS, (period,)).fetchall()
    return {row[0]: Count(*row) for row in rows}


def _mapped(webhook: Webhook, delivery: WebhookDelivery) -> tuple[list[Event], str | None]:
    """What the mapping made, or why it failed: a mistake in it must not lose what somebody has paid for."""
    try:
        return webhook.events(delivery), None
    except Exception as error:
        return [], describe(error)


def _publish(
    publisher: Publisher,
    webhook: Webhook,
    events: Sequence[Event],
    ids: Sequence[str],
    connection: Connection,
) -> None:
    """Raises EventTooLargeError with the webhook's name."""
    try:
        replace(publisher, source=webhook.source).publish_many(events, ids=ids, connection=connection)
    except EventTooLargeError as error:
        raise EventTooLargeError(f"webhook {webhook.name}: {error}") from None


def _tell(webhook: Webhook, delivery: WebhookDelivery, problem: str | None) -> None:
    """Once a minute for each topic; the row tells each."""
    if problem is not None:
        log.error("webhook_mapping_failed", webhook=webhook.name, delivery_id=delivery.id)
    elif webhook.mapping is not None and _said.due(f"{webhook.name} {delivery.topic}"):
        log.info("webhook_unmapped", webhook=webhook.name, topic=delivery.topic, delivery_id=delivery.id)
