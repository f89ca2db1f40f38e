"""Post a sheet: ten a minute a key."""

from datetime import timedelta

from broker import Run, Throttle, actor
from tests.support.press.actors.press import store
from tests.support.press.schemas import SheetPosted


@actor(throttle=Throttle(10, per=timedelta(minutes=1), key="key"))
def post(event: SheetPosted, run: Run) -> None:
    store.end(store.begin(run.id, "press.post", event.key, event.n))
