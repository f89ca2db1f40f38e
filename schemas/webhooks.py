"""What comes in from other services by webhook, where nobody has said what it is."""

from typing import Annotated

from pydantic import JsonValue

from .event import Event
from .marks import PERSONAL

PAID_CHECKOUT = frozenset({"checkout.session.completed", "checkout.session.async_payment_succeeded"})
"""Stripe's topics of a checkout session that may have been paid."""


class WebhookReceived(Event, type="webhook.received", aliases=("webhook/received",)):
    """A delivery whose signature was right. `topic` is the provider's own word for what happened, `payload` what it sent."""

    provider: str
    topic: str
    delivery_id: str
    shop_id: str | None = None
    payload: Annotated[dict[str, JsonValue], PERSONAL]
