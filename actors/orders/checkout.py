"""The order of a Stripe checkout session that was paid. What is wanted stands in the session's `metadata`."""

from uuid import NAMESPACE_URL, UUID, uuid5

from broker import WebhookDelivery
from schemas.orders import OrderPaid
from schemas.webhooks import PAID_CHECKOUT

_SETTLED = frozenset({"paid", "no_payment_required"})


def paid_order(delivery: WebhookDelivery) -> OrderPaid | None:
    """None for whatever else Stripe tells, such as a session whose money is on its way. One session is one order: without an
    `order_id` in its metadata, its id follows from the session's. Raises pydantic's ValidationError for a wish that is none."""
    if delivery.topic not in PAID_CHECKOUT:
        return None
    session = delivery.payload["data"]["object"]
    if session.get("payment_status") not in _SETTLED:
        return None
    metadata = session.get("metadata") or {}
    return OrderPaid.model_validate(
        {
            "order_id": metadata.get("order_id") or order_of(session["id"]),
            "stripe_session_id": session["id"],
            "customization": metadata,
            "user_id": session.get("client_reference_id"),
        }
    )


def order_of(session_id: str) -> UUID:
    return uuid5(NAMESPACE_URL, f"stripe:checkout.session:{session_id}")
