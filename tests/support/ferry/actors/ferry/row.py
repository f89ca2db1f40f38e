"""Two steps: one that is done, and one that lasts until somebody says go."""

import time

from broker import Run, actor
from tests.support.ferry.schemas import FerryRowed, gone, note


@actor()
def row(event: FerryRowed, run: Run) -> None:
    run.step("cast-off", note, event.folder, "cast off")
    run.step("pull", pull, event.folder)


def pull(folder: str) -> None:
    note(folder, "pull")
    while not gone(folder):
        time.sleep(0.01)
