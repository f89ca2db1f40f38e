"""A durable sleep between two steps: it holds no worker, so a stop has nothing to wait for."""

from datetime import timedelta

from broker import Run, actor
from tests.support.ferry.schemas import FerryMoored, note


@actor()
def moor(event: FerryMoored, run: Run) -> None:
    run.step("cast-off", note, event.folder, "cast off")
    run.sleep(timedelta(seconds=2))
    run.step("pull", note, event.folder, "pull")
