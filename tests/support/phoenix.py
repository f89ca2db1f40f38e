"""A tracing backend by others: arize-phoenix, in an environment of its own under `.cache`."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from typing import Any

from ops.embedded.process import free_port, launch_command
from tests.support.waiting import eventually

VERSION = "20.26.1"
HOUSE = Path(__file__).parents[2]
START_SECONDS = 120.0


@dataclass(frozen=True)
class Stored:
    """A span as the backend tells it. `parent` of a root is None."""

    name: str
    trace: str
    id: str
    parent: str | None


@dataclass(frozen=True)
class Phoenix:
    address: str

    @property
    def endpoint(self) -> str:
        """For OTEL_EXPORTER_OTLP_ENDPOINT."""
        return self.address

    def spans(self) -> list[Stored]:
        """All it has, a thousand at most."""
        told = self._get("/v1/projects/default/spans?limit=1000")
        return [
            Stored(
                span["name"],
                span["context"]["trace_id"],
                span["context"]["span_id"],
                span["parent_id"] or None,
            )
            for span in told["data"]
        ]

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(self.address + path, timeout=20) as answer:
            return json.load(answer)


@contextmanager
def running_phoenix(folder: Path) -> Generator[Phoenix]:
    """On ports of its own, with its data in `folder`. AssertionError with its log if it does not start."""
    port, log = free_port(), folder / "phoenix.log"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "CALLBOARD_"))},
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    phoenix = Phoenix(f"http://127.0.0.1:{port}")
    with log.open("wb") as output:
        command = launch_command([str(_installed() / "bin/phoenix"), "serve"], death_signal=SIGKILL)
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        eventually(lambda: process.poll() is None and _serves(phoenix), START_SECONDS, every=0.2)
        yield phoenix
    finally:
        process.kill()
        process.wait()


def _serves(phoenix: Phoenix) -> bool:
    try:
        phoenix.spans()
    except OSError:
        return False
    return True


def _installed() -> Path:
    """Its environment, made at the first use with what made ours."""
    place = HOUSE / ".cache" / f"phoenix-{VERSION}"
    python, done = str(place / "bin/python"), place / "installed"
    uv = shutil.which("uv") or shutil.which("uv", path=HOUSE / ".cache/uv/bin")
    if uv:
        make, install = (
            [uv, "venv", "-q", "--clear", "-p", sys.executable],
            [uv, "pip", "install", "-p", python],
        )
    else:
        make, install = [sys.executable, "-m", "venv", "--clear"], [python, "-m", "pip", "install"]
    if not done.exists():
        for command in ([*make, str(place)], [*install, "-q", f"arize-phoenix=={VERSION}"]):
            subprocess.run(
                command, check=True, timeout=500, env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
            )
        done.touch()
    return place
