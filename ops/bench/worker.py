"""The worker process of a round, of either side, told what to do through its input."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ops.bench.figures import BenchError, Side
from ops.bench.job import Job

HOUSE = Path(__file__).parents[2]


class WorkerProcess:
    """A worker of either side, told what to do through its input."""

    def __init__(self, side: Side, job: Job, environment: Mapping[str, str] | None = None) -> None:
        self._child = subprocess.Popen(
            # Not with -m: as `__main__` the module would name its actors otherwise than it does here.
            [sys.executable, "-c", f"from ops.bench.{side} import main; main()", job.to_argument()],
            cwd=HOUSE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
        self.pid = self._child.pid
        self.expect("ready")

    def expect(self, word: str) -> None:
        """Raises BenchError when the process says something else, or ends."""
        if (line := self._read()) != word:
            raise BenchError(
                f"the worker said {line!r} where {word!r} was expected; its own messages stand above"
            )

    def say(self, word: str) -> None:
        assert self._child.stdin is not None
        print(word, file=self._child.stdin, flush=True)

    def finish(self) -> tuple[float, ...]:
        self.say("stop")
        return tuple(json.loads(self._read() or "[]"))

    def spent(self) -> float:
        """Seconds of CPU from ready to the end, spans sent. Only of ours, after `finish`."""
        return float(json.loads(self._read()))

    def end(self) -> None:
        self._child.kill()
        self._child.communicate()

    def _read(self) -> str:
        assert self._child.stdout is not None
        return self._child.stdout.readline().strip()
