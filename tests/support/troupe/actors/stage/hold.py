"""Hold the curtain until somebody says go."""

import time
from pathlib import Path

from broker import Run, actor
from tests.support.troupe.schemas import CurtainHeld


@actor()
def hold(event: CurtainHeld, run: Run) -> None:
    folder = Path(event.folder)
    (folder / "begun").write_text(str(run.id))
    while not (folder / "go").exists():
        time.sleep(0.01)
