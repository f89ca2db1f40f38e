"""Say that an order was given up: in its rows, and to whoever hears `order.failed`."""

import json

from actors.orders import store
from broker import NonRetriable, Run, actor
from schemas import Failure, SchemaError, validate
from schemas.orders import OrderAccepted, OrderFailed, OrderPaid, OrderVariantsGenerated

MAX_REASON = 2_000


@actor(title="Mark Order as Failed")
def fail(event: Failure, run: Run) -> OrderFailed | None:
    """None where the order is none the worse: paid twice, or completed by a replay in the meantime."""
    failed = failed_event(event)
    reason = f"{event.reason}: {event.error}"[:MAX_REASON]
    with run.transaction() as db:
        if isinstance(failed, OrderPaid):
            marked = store.refuse_order(db, failed, reason)
        else:
            marked = store.fail_order(db, failed.order_id, reason)
    return OrderFailed(order_id=failed.order_id, reason=reason) if marked else None


def failed_event(event: Failure) -> OrderPaid | OrderAccepted | OrderVariantsGenerated:
    """What was given up. Raises NonRetriable where it says of no order: the dead letter itself is kept."""
    told = event.event
    try:
        found = validate(told.type, told.version, json.dumps(told.data).encode()) if told else None
    except SchemaError as error:
        raise NonRetriable(
            f"dead letter {event.dead_letter_id} holds an event that cannot be read"
        ) from error
    if not isinstance(found, OrderPaid | OrderAccepted | OrderVariantsGenerated):
        raise NonRetriable(f"dead letter {event.dead_letter_id} is about no order")
    return found
