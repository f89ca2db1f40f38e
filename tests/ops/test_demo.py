"""`./ops/run --once`: from nothing to five complete chains, and again on what the first run left."""

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.runner import HOUSE
from tests.support.waiting import eventually

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

LIMIT = timedelta(seconds=60)
"""What the demo promises, from nothing."""
TRACE = re.compile(r"trace ([0-9a-f]{32})")


def environment(folder: Path) -> Mapping[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CALLBOARD_")}
    return {**clean, "CALLBOARD_DATA": str(folder)}


def run_once(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "ops.demo", "--once"],
        cwd=HOUSE, env=environment(folder), capture_output=True, text=True, check=False, timeout=LIMIT.total_seconds(),
    )  # fmt: skip


def test_from_nothing_and_again_after_a_kill_all_chains_complete(tmp_path: Path) -> None:
    folder = tmp_path / "state"

    first = run_once(folder)

    assert first.returncode == 0, first.stdout + first.stderr
    assert "page-scan complete" in first.stdout
    assert "song-order complete" in first.stdout
    assert "Blue Vase: 12.50 EUR, in stock" in first.stdout
    assert "purchase-confirmation complete" in first.stdout
    assert "new: 3 messages, 3 unread" in first.stdout
    assert len(set(TRACE.findall(first.stdout))) == 5
    [letter] = (folder / "mail" / "new").iterdir()
    assert "Your order demo-" in letter.read_text()
    assert re.search(r"[1-9]\d* recommendations for http://127\.0\.0\.1", first.stdout)
    assert len([path for path in folder.glob("songs/**/*.wav") if path.stat().st_size > 10_000]) == 3
    assert stat.S_IMODE((folder / "env").stat().st_mode) == 0o600

    killed = subprocess.Popen(
        [sys.executable, "-m", "ops.demo"],
        cwd=HOUSE, env=environment(folder), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert killed.stdout is not None
    assert any("In another terminal" in line for line in killed.stdout)
    killed.send_signal(signal.SIGKILL)
    killed.wait()

    again = run_once(folder)

    assert again.returncode == 0, again.stdout + again.stderr
    assert "song-order complete" in again.stdout


def test_interrupted_it_stops_everything_it_started(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "ops.demo"],
        cwd=HOUSE, env=environment(tmp_path), stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert demo.stdout is not None
    assert any("In another terminal" in line for line in demo.stdout)
    assert processes(tmp_path)

    demo.send_signal(signal.SIGINT)

    assert demo.wait(30) == 0
    eventually(lambda: not processes(tmp_path), 5)


def test_a_database_that_is_away_is_told_without_its_password(tmp_path: Path) -> None:
    given = {**environment(tmp_path), "CALLBOARD_DATABASE_URL": "postgresql://me:secret@127.0.0.1:1/x"}
    done = subprocess.run(
        [sys.executable, "-m", "ops.demo", "--once"],
        cwd=HOUSE, env=given, capture_output=True, text=True, check=False, timeout=LIMIT.total_seconds(),
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: PostgreSQL at 127.0.0.1:1/x cannot be used: Connection refused")
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


def processes(folder: Path) -> list[str]:
    """Those whose command line names the folder: the servers of a demo."""
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if str(folder / "postgres") in line]
