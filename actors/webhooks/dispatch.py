"""Hand on what a shop has told by webhook, as events of the house. What nobody here wants is skipped, not failed."""

from typing import Any

from pydantic import ValidationError

from broker import NonRetriable, Run, actor
from schemas.products import ProductScrapeRequested
from schemas.webhooks import PAID_CHECKOUT, WebhookReceived

PRODUCT_TOPICS = frozenset({"product.created", "product.updated", "product.price.updated"})


@actor(title="Process Webhook")
def dispatch(event: WebhookReceived, run: Run) -> ProductScrapeRequested | None:
    """A product that was made or changed is looked at where customers see it. Raises NonRetriable for a delivery that names no
    product or no page: sent again it would name none either; and for a payment that became no order."""
    if event.topic in PAID_CHECKOUT and not _on_its_way(event):
        # It comes here only where its webhook could not read it. Somebody has paid: a person has to look.
        raise NonRetriable(
            f"delivery {event.delivery_id} of {event.provider} ({event.topic}) is a payment that became no order: see "
            f"`callboard webhooks {event.provider}`"
        )
    if event.topic not in PRODUCT_TOPICS:
        run.log.info("webhook_not_wanted", provider=event.provider, topic=event.topic)
        return None
    product = _inside(event.payload, "data")
    try:
        return ProductScrapeRequested(
            shop_id=event.shop_id or str(event.payload.get("merchant") or event.provider),
            product_id=str(product["id"]),
            url=_inside(product, "urls").get("customer") or product["url"],
        )
    except (KeyError, ValidationError):
        raise NonRetriable(
            f"delivery {event.delivery_id} of {event.provider} ({event.topic}) names no product with a page: data.id and "
            "data.urls.customer"
        ) from None


def _on_its_way(event: WebhookReceived) -> bool:
    """Money that is told of again once it has come."""
    return _inside(_inside(event.payload, "data"), "object").get("payment_status") == "unpaid"


def _inside(data: Any, name: str) -> dict[str, Any]:
    found = data.get(name)
    return found if isinstance(found, dict) else {}
