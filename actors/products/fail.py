"""Say that a product's page could not be read; what was known of it stays."""

from actors.products import store
from broker import Run, actor, failed_event
from schemas import Failure
from schemas.products import ProductScrapeRequested

MAX_REASON = 1_000


@actor(title="Mark Product as Failed")
def fail(event: Failure, run: Run) -> None:
    asked = failed_event(event, ProductScrapeRequested)
    run.write(
        store.FAIL,
        {
            "shop_id": asked.shop_id,
            "product_id": asked.product_id,
            "url": str(asked.url),
            "reason": f"{event.reason}: {event.error}"[:MAX_REASON],
        },
    )
