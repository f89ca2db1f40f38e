"""Programs by others whose requirements go with ours in no one environment: each has its own under `.cache`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL

from ops.embedded.process import launch_command
from tests.support.waiting import eventually

HOUSE = Path(__file__).parents[2]
START_SECONDS = 120.0


def installed(*requirements: str) -> Path:
    """The folder of its programs. Made at the first use, with what made our environment; named after the first requirement."""
    place = (
        HOUSE
        / ".cache"
        / "-".join(requirements[0].replace("[", "=").replace("]", "").split("=")).replace("--", "-")
    )
    python, done = str(place / "bin/python"), place / "installed"
    uv = shutil.which("uv") or shutil.which("uv", path=HOUSE / ".cache/uv/bin")
    if uv:
        make = [uv, "venv", "-q", "--clear", "-p", sys.executable]
        install = [uv, "pip", "install", "-p", python]
    else:
        make, install = [sys.executable, "-m", "venv", "--clear"], [python, "-m", "pip", "install"]
    if not done.exists():
        for command in ([*make, str(place)], [*install, "-q", *requirements]):
            subprocess.run(
                command, check=True, timeout=500, env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
            )
        done.touch()
    return place / "bin"


@contextmanager
def running(
    *command: str, log: Path, serves: Callable[[], object], environment: Mapping[str, str] | None = None
) -> Generator[None]:
    """From when it serves; killed afterwards. RuntimeError with the end of its log if it ends before."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            launch_command(command, death_signal=SIGKILL), env=environment, stdout=output, stderr=output
        )

    def answered() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended: {log.read_text()[-1000:]}")
        try:
            serves()
        except OSError:
            return False
        return True

    try:
        eventually(answered, START_SECONDS, every=0.2)
        yield
    finally:
        process.kill()
        process.wait()
