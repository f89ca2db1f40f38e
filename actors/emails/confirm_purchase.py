"""Confirm a purchase by e-mail, and call the order fulfilled."""

from actors.emails import store
from actors.emails.fail import fail
from actors.emails.sending import GENTLY, TIME_LIMIT, Sent, send
from broker import EMAIL, Run, actor
from schemas.emails import EmailPurchaseConfirmation


@actor(
    title="Send Purchase Confirmation",
    retry=EMAIL.with_attempts(4),
    throttle=GENTLY,
    time_limit=TIME_LIMIT,
    on_failure=fail,
)
def confirm_purchase(event: EmailPurchaseConfirmation, run: Run) -> Sent:
    purchase = run.step("fetch-order", store.fetch_purchase, event.order_id, transactional=True)
    sent = send(
        run,
        event,
        f"Your order {event.order_id}",
        {**purchase.model_dump(), "total_cents": purchase.total_cents},
    )
    run.write(store.FULFIL, {"order_id": event.order_id})
    return sent
