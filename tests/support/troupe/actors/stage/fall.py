"""A payload that kills whoever reads it. Says who it was."""

import os
import signal
from pathlib import Path

from broker import Run, actor
from tests.support.troupe.schemas import LightFell


@actor()
def fall(event: LightFell, run: Run) -> None:
    with (Path(event.folder) / "killed").open("a") as file:
        file.write(f"{os.getpid()}\n")
    os.kill(os.getpid(), signal.SIGKILL)
