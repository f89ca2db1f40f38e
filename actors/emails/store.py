"""What the emails domain keeps: purchases and the log of letters.

Statements run with the engine's schema in the search path, where `clock()` is; our tables are named with theirs.
Lock order: purchase, then email_log.
"""

from collections.abc import Sequence
from uuid import UUID

from psycopg import Connection
from pydantic import BaseModel, Field

from broker import Ledger, NonRetriable

_PLACE = """
insert into emails.purchase (order_id, customer_email, customer_name, currency, status)
values (%(order_id)s, %(customer_email)s, %(customer_name)s, %(currency)s, 'processing')
on conflict (order_id) do nothing
returning order_id"""
_PLACE_ITEM = """
insert into emails.purchase_item (order_id, position, product, quantity, price_cents)
values (%(order_id)s, %(position)s, %(product)s, %(quantity)s, %(price_cents)s)"""

_FETCH = "select customer_name, currency from emails.purchase where order_id = %s"
_FETCH_ITEMS = """
select product, quantity, price_cents from emails.purchase_item where order_id = %s order by position"""

FULFIL = """
update emails.purchase set status = 'fulfilled', fulfilled_at = coalesce(fulfilled_at, clock())
where order_id = %(order_id)s and status = 'processing'"""
REFUND = """
update emails.purchase set status = 'refunded', refunded_at = coalesce(refunded_at, clock()) where order_id = %(order_id)s"""

LEDGER = Ledger("emails", "email_log", columns=("kind", "provider", "message_id", "error"))

_OPEN = """
insert into emails.email_log (run_id, kind, about, recipient, status, created_at)
values (%(run_id)s, %(kind)s, %(about)s, %(recipient)s, 'pending', clock())
on conflict (run_id) do update set status = 'pending', error = null, ended_at = null where email_log.status = 'failed'"""
SENT = """
update emails.email_log
set status = 'sent', provider = %(provider)s, message_id = %(message_id)s, error = null, ended_at = clock()
where run_id = %(run_id)s"""
# A letter that was given up before its row was opened has one all the same. What a replay has sent stays sent.
FAILED = """
insert into emails.email_log as l (run_id, kind, about, recipient, status, error, created_at, ended_at)
values (%(run_id)s, %(kind)s, %(about)s, %(recipient)s, 'failed', %(error)s, clock(), clock())
on conflict (run_id) do update set status = 'failed', error = excluded.error, ended_at = excluded.ended_at
where l.status = 'pending'"""

# The letters of an order go with the order's person; amounts stay, for they are the books'.
ERASE = (
    """
update emails.email_log set recipient = '', about = '', error = null
where recipient = %(person)s or about = %(person)s
   or about in (select order_id from emails.purchase where customer_email = %(person)s)""",
    """
update emails.purchase set customer_email = '', customer_name = null where customer_email = %(person)s""",
)


class Item(BaseModel):
    product: str = Field(min_length=1, max_length=200)
    quantity: int = Field(gt=0)
    price_cents: int = Field(ge=0)


class Purchase(BaseModel):
    """An order as its letters tell of it."""

    order_id: str
    customer_name: str | None = None
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    items: tuple[Item, ...] = Field(min_length=1)

    @property
    def total_cents(self) -> int:
        return sum(item.quantity * item.price_cents for item in self.items)


def place(db: Connection, purchase: Purchase, customer_email: str) -> bool:
    """False if the order is there already, as it was."""
    values = {**purchase.model_dump(exclude={"items"}), "customer_email": customer_email}
    if db.execute(_PLACE, values).fetchone() is None:
        return False
    for position, item in enumerate(purchase.items):
        db.execute(_PLACE_ITEM, {"order_id": purchase.order_id, "position": position, **item.model_dump()})
    return True


def fetch_purchase(db: Connection, order_id: str) -> Purchase:
    """Raises NonRetriable for an order that is not there: asking again would not change it."""
    row = db.execute(_FETCH, (order_id,)).fetchone()
    if row is None:
        raise NonRetriable(
            f"order {order_id} is not in emails.purchase: place it before its letter is asked for"
        )
    items: Sequence[tuple[str, int, int]] = db.execute(_FETCH_ITEMS, (order_id,)).fetchall()
    return Purchase(
        order_id=order_id,
        customer_name=row[0],
        currency=row[1],
        items=tuple(
            Item(product=product, quantity=count, price_cents=price) for product, count, price in items
        ),
    )


def open_log(db: Connection, run_id: UUID, kind: str, about: str, recipient: str) -> None:
    """The letter is on its way. May be repeated."""
    db.execute(_OPEN, {"run_id": run_id, "kind": kind, "about": about, "recipient": recipient})
