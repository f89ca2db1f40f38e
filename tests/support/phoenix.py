"""A tracing backend by others: arize-phoenix, in an environment of its own under `.cache`."""

import json
import os
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.embedded.process import free_port
from tests.support.tool import installed, running


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
    """On ports of its own, with its data in `folder`."""
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "CALLBOARD_"))},
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    phoenix = Phoenix(f"http://127.0.0.1:{port}")
    program = str(installed("arize-phoenix==20.26.1") / "phoenix")
    with running(program, "serve", log=folder / "phoenix.log", serves=phoenix.spans, environment=environment):
        yield phoenix
