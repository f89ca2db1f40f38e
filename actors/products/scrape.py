"""Look at a product's page, keep what it says, and tell when the price is another one."""

from datetime import timedelta

from actors.products import providers, store
from actors.products.fail import fail
from actors.products.structured import Product, read_product
from broker import SCRAPER, Concurrency, Run, Throttle, actor, judged
from schemas.products import ProductPriceChanged, ProductScrapeRequested


@actor(
    title="Scrape Product",
    retry=SCRAPER,
    time_limit=timedelta(seconds=60),
    throttle=Throttle(60, per=timedelta(minutes=1), key="shop_id"),
    concurrency=Concurrency(4, key="shop_id"),
    on_failure=fail,
)
def scrape(event: ProductScrapeRequested, run: Run) -> ProductPriceChanged | None:
    """At most four pages of a shop at once and sixty a minute: it is somebody's shop."""
    product = run.step("fetch-and-read", fetch_product, str(event.url))
    with run.transaction() as db:
        before = store.save(db, event, product)
    if before is None or before == (product.price, product.currency):
        return None
    return ProductPriceChanged(
        shop_id=event.shop_id,
        product_id=event.product_id,
        name=product.name,
        price=product.price,
        currency=product.currency,
        before=before.price if before.currency == product.currency else None,
    )


def fetch_product(url: str) -> Product:
    """Raises NonRetriable for what no other try can mend: a refused address, no page, no product on it."""
    with judged():
        page = providers.fetcher().fetch(url)
        return read_product(page.body, page.url, page.content_type)
