"""An actor that hears what this house says to others, and keeps it in the engine's schema in `heard`."""

from broker import Run, actor
from schemas.orders import OrderCompleted, OrderFailed

TABLE = "create table heard (type text)"


@actor()
def hear(event: OrderCompleted | OrderFailed, run: Run) -> None:
    run.write("insert into heard values (%s)", [event.event_type])
