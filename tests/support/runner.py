"""`callboard worker` as a process of its own, and the processes below it."""

import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from tests.support.waiting import eventually

HOUSE = Path(__file__).parents[2]
READY_SECONDS = 60.0
"""Two shared cores under a whole test run; 3 s when they are free."""


@dataclass
class Runner:
    """The supervisor. `stderr` is the file that its and its children's logs go to."""

    process: "subprocess.Popen[str]"
    stderr: Path
    seen: dict[int, str] = field(default_factory=dict[int, str])

    def wait_ready(self) -> str:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            assert selector.select(READY_SECONDS), f"not ready: {self.log()}"
        line = self.process.stdout.readline()
        assert line.startswith("ready"), self.log()
        self.children()
        return line

    def children(self) -> dict[int, str]:
        """Worker processes that live, by pid, with their command line."""
        listed = subprocess.run(
            ["ps", "-A", "-ww", "-o", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True
        )
        rows = [line.split(None, 3) for line in listed.stdout.splitlines()]
        found = {
            int(row[0]): row[3]
            for row in rows
            if len(row) == 4
            and row[1] == str(self.process.pid)
            and not row[2].startswith("Z")
            and "ops.worker_process" in row[3]
        }
        self.seen |= found
        return found

    def workers(self) -> list[int]:
        return [pid for pid, command in self.children().items() if "--quarantine" not in command]

    def quarantine(self) -> list[int]:
        return [pid for pid, command in self.children().items() if "--quarantine" in command]

    def survivors(self) -> list[int]:
        """Children ever seen that still live, whoever is their parent now."""
        return [pid for pid in self.seen if _is_worker(pid)]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ends(self, within: timedelta = timedelta(seconds=40)) -> int:
        return self.process.wait(within.total_seconds())

    def log(self) -> str:
        return self.stderr.read_text()


@contextmanager
def running_worker(folder: Path, dsn: str, *arguments: str, **settings: str) -> Generator[Runner]:
    """`callboard worker …` for the troupe. Killed with everything below it at the end."""
    stderr = folder / "worker.log"
    with stderr.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ops", "worker", *arguments],
            cwd=HOUSE, env=environment(dsn, **settings), stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    runner = Runner(process, stderr)
    try:
        yield runner
    finally:
        runner.children()
        process.kill()
        process.wait()
        eventually(lambda: not runner.survivors())


def environment(dsn: str, **settings: str) -> Mapping[str, str]:
    """Ours without anybody's Callboard settings, and these."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CALLBOARD_")}
    given = {"DATABASE_URL": dsn, "APPS": "tests.support.troupe", "THREADS": "2", **settings}
    return clean | {f"CALLBOARD_{name}": value for name, value in given.items()}


def _is_worker(pid: int) -> bool:
    listed = subprocess.run(
        ["ps", "-ww", "-o", "stat=,args=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return "ops.worker_process" in listed.stdout and not listed.stdout.startswith("Z")
