"""Print a sheet: three at once a key, each for some milliseconds."""

import time

from broker import Concurrency, Run, actor
from tests.support.press.actors.press import store
from tests.support.press.schemas import SheetPrinted

BODY_SECONDS = 0.01


@actor(concurrency=Concurrency(3, key="key"))
def print(event: SheetPrinted, run: Run) -> None:  # noqa: A001  the verb a printer would say
    body = store.begin(run.id, "press.print", event.key, event.n)
    time.sleep(BODY_SECONDS)
    store.end(body)
