"""What the products domain keeps. Statements run with the engine's schema in the search path; our table is named with its own."""

from decimal import Decimal
from typing import NamedTuple

from psycopg import Connection

from actors.products.structured import Product
from schemas.products import ProductScrapeRequested


class Seen(NamedTuple):
    price: Decimal
    currency: str | None


_HOLD = "select price, currency from products.product where shop_id = %s and product_id = %s for update"
_SAVE = """
insert into products.product (shop_id, product_id, url, name, price, currency, availability, status, scraped_at)
values (%(shop_id)s, %(product_id)s, %(url)s, %(name)s, %(price)s, %(currency)s, %(availability)s, 'completed', clock())
on conflict (shop_id, product_id) do update
set url = excluded.url, name = excluded.name, price = excluded.price, currency = excluded.currency,
    availability = excluded.availability, status = 'completed', reason = null, scraped_at = excluded.scraped_at"""
FAIL = """
insert into products.product (shop_id, product_id, url, status, reason)
values (%(shop_id)s, %(product_id)s, %(url)s, 'failed', %(reason)s)
on conflict (shop_id, product_id) do update set status = 'failed', reason = excluded.reason"""


def save(db: Connection, event: ProductScrapeRequested, product: Product) -> Seen | None:
    """Keep what was found; returns what it cost before, None for a product that had no price yet. Locks its row."""
    row: tuple[Decimal | None, str | None] | None = db.execute(
        _HOLD, (event.shop_id, event.product_id)
    ).fetchone()
    db.execute(
        _SAVE,
        {
            "shop_id": event.shop_id,
            "product_id": event.product_id,
            "url": str(event.url),
            **product.model_dump(),
        },
    )
    return Seen(row[0], row[1]) if row is not None and row[0] is not None else None
