"""What the orders domain keeps: orders, their variants, and what was offered after.

Statements run with the engine's schema in the search path, where `clock()` is; our tables are named with theirs.
Lock order: song_order, then song_variant by number.
"""

from collections.abc import Sequence
from typing import get_args
from uuid import UUID

from psycopg import Connection
from pydantic import BaseModel, ValidationError

from actors.orders.song import Genre, SongCustomization
from broker import NonRetriable
from schemas.orders import OrderPaid, Variant

VARIANTS = 3
ORDERS = "orders/"
"""How the storage keys of all songs begin."""

# The unique key decides, not a look before: of two payments' webhooks at once, one waits here for the other's commit.
# A row without accepted_at was left by a failed acceptance, whose replay may take it.
_CLAIM_ORDER = """
insert into orders.song_order (id, stripe_session_id, user_id, customization, status, accepted_at)
values (%(id)s, %(stripe_session_id)s, %(user_id)s, %(customization)s::jsonb, 'accepted', clock())
on conflict (stripe_session_id) do update
set status = excluded.status, reason = null, accepted_at = excluded.accepted_at, finished_at = null
where song_order.accepted_at is null
returning id"""

_FETCH_CUSTOMIZATION = "select customization from orders.song_order where id = %(id)s"

# 'completed' is left alone: a replayed generation must not take finished songs from their buyer.
_MARK_GENERATING = """
update orders.song_order set status = 'generating', reason = null, finished_at = null
where id = %(id)s and status <> 'completed'"""

_CREATE_VARIANTS = """
insert into orders.song_variant (order_id, number)
select %(order_id)s, number from generate_series(1, %(count)s) as number
on conflict (order_id, number) do nothing"""

_MARK_VARIANT = """
update orders.song_variant set status = %(status)s, url = %(url)s, error = null, updated_at = clock()
where order_id = %(order_id)s and number = %(number)s"""

FINISH_VARIANT = """
insert into orders.song_variant (order_id, number, status, url, error, updated_at)
values (%(order_id)s, %(number)s, %(status)s, %(url)s, %(error)s, clock())
on conflict (order_id, number) do update
set status = excluded.status, url = excluded.url, error = excluded.error, updated_at = excluded.updated_at"""

FINISH_ORDER = """
update orders.song_order set status = %(status)s, reason = %(reason)s, finished_at = clock() where id = %(id)s"""

# Told of an acceptance that was given up. An order that is there was accepted, by this payment or another: it stays as it is.
_REFUSE_ORDER = """
insert into orders.song_order (id, stripe_session_id, user_id, customization, status, reason, finished_at)
values (%(id)s, %(stripe_session_id)s, %(user_id)s, %(customization)s::jsonb, 'failed', %(reason)s, clock())
on conflict do nothing
returning id"""

# A failure may be told after the dead letter was replayed and went well: then it is old news.
_FAIL_ORDER = """
update orders.song_order set status = 'failed', reason = %(reason)s, finished_at = clock()
where id = %(id)s and status <> 'completed'
returning id"""

_FAIL_VARIANTS = """
update orders.song_variant set status = 'failed', error = %(reason)s, updated_at = clock()
where order_id = %(id)s and status in ('pending', 'generating')"""

_MAKE_OFFER = """
with made as (
    insert into orders.song_offer (order_id, genres, created_at)
    select id, array_remove(%(genres)s::text[], customization ->> 'genre'), clock()
    from orders.song_order where id = %(id)s
    on conflict do nothing
    returning order_id, genres
)
select song_order.user_id, made.genres from made join orders.song_order on song_order.id = made.order_id"""

_SONGS = """
select v.url from orders.song_variant v join orders.song_order o on o.id = v.order_id
where o.user_id = %(person)s and v.url is not null order by v.url"""
ERASE = (
    """
update orders.song_variant v set url = null, error = null
from orders.song_order o where o.id = v.order_id and o.user_id = %(person)s""",
    "delete from orders.song_offer f using orders.song_order o where o.id = f.order_id and o.user_id = %(person)s",
    "update orders.song_order set user_id = null, customization = '{}', reason = null where user_id = %(person)s",
)


class Offer(BaseModel):
    """What is offered, and to whom; None is who bought without an account."""

    user_id: str | None
    genres: tuple[str, ...]


def order_values(event: OrderPaid) -> dict[str, object]:
    """The columns of an order that its payment tells."""
    return {
        "id": event.order_id,
        "stripe_session_id": event.stripe_session_id,
        "user_id": event.user_id,
        "customization": event.customization.model_dump_json(),
    }


def claim_order(db: Connection, event: OrderPaid) -> bool:
    """False if this payment has its order already. Raises psycopg's UniqueViolation if the order has another payment."""
    return db.execute(_CLAIM_ORDER, order_values(event)).fetchone() is not None


def fetch_customization(db: Connection, order_id: UUID) -> SongCustomization:
    """Raises NonRetriable for a wish that no music maker here can play: asking again would not change it."""
    row = db.execute(_FETCH_CUSTOMIZATION, {"id": order_id}).fetchone()
    if row is None:
        raise NonRetriable(f"order {order_id} is not in orders.song_order")
    wish = row[0]
    try:
        return SongCustomization.model_validate({**wish, "message": wish.get("story") or ""})
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, fault["loc"])) for fault in error.errors(include_input=False))
        raise NonRetriable(f"order {order_id} asks for what cannot be played: see its {fields}") from error


def songs_of(db: Connection, person: dict[str, str]) -> list[str]:
    """Addresses of the songs of this person's orders."""
    return [url for (url,) in db.execute(_SONGS, person)]


def make_offer(db: Connection, order_id: UUID) -> Offer | None:
    """All other genres. None for an order that has its offer, or is not there."""
    row = db.execute(_MAKE_OFFER, {"id": order_id, "genres": list(get_args(Genre))}).fetchone()
    return Offer(user_id=row[0], genres=row[1]) if row is not None else None


def mark_generating(db: Connection, order_id: UUID) -> None:
    db.execute(_MARK_GENERATING, {"id": order_id})


def create_variants(db: Connection, order_id: UUID) -> None:
    db.execute(_CREATE_VARIANTS, {"order_id": order_id, "count": VARIANTS})


def mark_variant(db: Connection, order_id: UUID, number: int, status: str, url: str | None) -> None:
    """`status` is `generating` or `complete`; a complete one has a URL."""
    db.execute(_MARK_VARIANT, {"order_id": order_id, "number": number, "status": status, "url": url})


def variant_values(order_id: UUID, variants: Sequence[Variant]) -> list[dict[str, object]]:
    """The parameters of FINISH_VARIANT, one set a variant, in the order of their numbers."""
    return [
        {"order_id": order_id, **made.model_dump(include={"number", "status", "url", "error"})}
        for made in sorted(variants, key=lambda made: made.number)
    ]


def finish_variants(db: Connection, order_id: UUID, variants: Sequence[Variant]) -> None:
    for values in variant_values(order_id, variants):
        db.execute(FINISH_VARIANT, values)


def refuse_order(db: Connection, event: OrderPaid, reason: str) -> bool:
    """Keep an order whose acceptance was given up. False if there is one of this id or payment already."""
    return db.execute(_REFUSE_ORDER, {**order_values(event), "reason": reason}).fetchone() is not None


def fail_order(db: Connection, order_id: UUID, reason: str) -> bool:
    """Mark an order and its unfinished variants as failed. False if it is completed, or not there."""
    failed = db.execute(_FAIL_ORDER, {"id": order_id, "reason": reason}).fetchone() is not None
    if failed:
        db.execute(_FAIL_VARIANTS, {"id": order_id, "reason": reason})
    return failed
