"""Hold a sheet until the press stops: whoever has the same key waits behind it."""

import time

from broker import Concurrency, Run, actor
from tests.support.press.actors.press import store
from tests.support.press.schemas import SheetHeld


@actor(concurrency=Concurrency(1, key="key"))
def hold(event: SheetHeld, run: Run) -> None:
    body = store.begin(run.id, "press.hold", event.key, event.n)
    while event.n == 0:  # the first of all
        time.sleep(0.05)
    store.end(body)
