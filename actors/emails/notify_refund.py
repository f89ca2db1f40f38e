"""Tell a customer of a refund by e-mail, and call the order refunded."""

from actors.emails import store
from actors.emails.fail import fail
from actors.emails.sending import GENTLY, TIME_LIMIT, Sent, send
from broker import EMAIL, Run, actor
from schemas.emails import EmailRefundNotification


@actor(
    title="Send Refund Notification",
    retry=EMAIL.with_attempts(3),
    throttle=GENTLY,
    time_limit=TIME_LIMIT,
    on_failure=fail,
)
def notify_refund(event: EmailRefundNotification, run: Run) -> Sent:
    purchase = run.step("fetch-order", store.fetch_purchase, event.order_id, transactional=True)
    sent = send(
        run,
        event,
        f"Your refund for order {event.order_id}",
        {
            **purchase.model_dump(),
            "total_cents": purchase.total_cents,
            "refund_reason": event.refund_reason,
        },
    )
    run.write(store.REFUND, {"order_id": event.order_id})
    return sent
