"""Say that an order was given up: in its rows, and to whoever hears `order.failed`."""

from actors.orders import store
from broker import Run, actor, failed_event
from schemas import Failure
from schemas.orders import OrderAccepted, OrderFailed, OrderPaid, OrderVariantsGenerated

MAX_REASON = 2_000


@actor(title="Mark Order as Failed")
def fail(event: Failure, run: Run) -> OrderFailed | None:
    """None where the order is none the worse: paid twice, or completed by a replay in the meantime."""
    failed = failed_event(event, OrderPaid, OrderAccepted, OrderVariantsGenerated)
    reason = f"{event.reason}: {event.error}"[:MAX_REASON]
    with run.transaction() as db:
        if isinstance(failed, OrderPaid):
            marked = store.refuse_order(db, failed, reason)
        else:
            marked = store.fail_order(db, failed.order_id, reason)
    return OrderFailed(order_id=failed.order_id, reason=reason) if marked else None
