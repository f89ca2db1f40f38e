"""Products: what is said of what a shop sells."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, HttpUrl, StringConstraints

from .event import Event

Id = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Amount = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=4)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Availability = Literal["in_stock", "out_of_stock", "preorder", "backorder", "limited", "discontinued"]


class _OfProduct(Event):
    shop_id: Id
    product_id: Id


class ProductScrapeRequested(
    _OfProduct, type="product.scrape.requested", aliases=("product/scrape.requested",)
):
    """Read the product's page again."""

    url: HttpUrl


class ProductPriceChanged(_OfProduct, type="product.price.changed", audience="outside"):
    """It costs something else than at the last look. `before` is None where the currency has changed with it."""

    name: str
    price: Amount
    currency: Currency | None = None
    before: Amount | None = None
