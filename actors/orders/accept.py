"""Accept a paid order: one payment is one order and one generation, however often its webhook comes."""

from datetime import timedelta

from psycopg.errors import UniqueViolation

from actors.orders import store
from actors.orders.fail import fail
from broker import NonRetriable, Run, actor
from schemas.orders import OrderAccepted, OrderPaid


@actor(title="Accept Paid Order", time_limit=timedelta(seconds=30), on_failure=fail)
def accept(event: OrderPaid, run: Run) -> OrderAccepted | None:
    """None for a payment that has its order."""
    try:
        with run.transaction() as db:
            claimed = store.claim_order(db, event)
    except UniqueViolation as error:
        raise NonRetriable(
            f"order {event.order_id} was paid twice: this payment must be given back"
        ) from error
    if not claimed:
        return None
    return OrderAccepted(order_id=event.order_id)
