"""Finish an order: one song is enough to complete it, and every variant gets its last word."""

from datetime import timedelta

from actors.orders import store
from actors.orders.fail import fail
from broker import Run, actor
from schemas.orders import OrderCompleted, OrderFailed, OrderVariantsGenerated


@actor(title="Finalize Order", time_limit=timedelta(seconds=30), on_failure=fail)
def finalize(event: OrderVariantsGenerated, run: Run) -> OrderCompleted | OrderFailed:
    urls = tuple(made.url for made in event.variants if made.status == "complete" and made.url)
    reason = None if urls else f"no variant could be made; the first: {event.variants[0].error}"
    status = "completed" if urls else "failed"
    run.write(store.FINISH_ORDER, {"id": event.order_id, "status": status, "reason": reason})
    for values in store.variant_values(event.order_id, event.variants):
        run.write(store.FINISH_VARIANT, values)
    if reason is not None:
        return OrderFailed(order_id=event.order_id, reason=reason)
    return OrderCompleted(order_id=event.order_id, variant_urls=urls)
