"""`callboard chaos` itself."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.runner import HOUSE
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.slow]


def of_folder(folder: Path) -> list[str]:
    """Processes with its temporary folder in their environment, by command line."""
    listed = subprocess.run(["ps", "axeww", "-o", "command="], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if f"TMPDIR={folder}" in line]


def test_sigterm_stops_everything_that_it_started(tmp_path: Path) -> None:
    """It left workers behind, which went on trying to reach servers that were gone."""
    command = subprocess.Popen(
        [sys.executable, "-m", "ops", "chaos", "--short", "--row", "duplicates", "--seed", "1"],
        cwd=HOUSE, env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    eventually(lambda: [line for line in of_folder(tmp_path) if "ops.chaos.worker" in line], 60)
    command.send_signal(signal.SIGTERM)
    assert command.wait(60) != 0

    def none_is_left() -> bool:
        assert of_folder(tmp_path) == []
        return True

    eventually(none_is_left, 60)
