"""`callboard dev` as a process of its own, on a package that a test writes and changes under its hands."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tests.support.runner import HOUSE
from tests.support.waiting import eventually

LIMIT = timedelta(seconds=60)
"""4 s for a boot on two idle cores; the build machine shares them with other tests."""

FILES = {
    "__init__.py": "",
    "schemas.py": """
from schemas import Event

class ParcelHanded(Event, type="parcel.handed"):
    to: str

class ParcelOpened(Event, type="parcel.opened"):
    to: str
""",
    "actors/__init__.py": "",
    "actors/parcels/__init__.py": "",
    "actors/parcels/open.py": """
from datetime import timedelta
from broker import Backoff, NonRetriable, Run, actor
from parlour.schemas import ParcelHanded, ParcelOpened

SHORT = Backoff(timedelta(milliseconds=50), timedelta(seconds=1), attempts=3, jitter="none")

@actor(retry=SHORT)
def open(event: ParcelHanded, run: Run) -> ParcelOpened:
    run.step("cut-the-string", str, "done")
    if event.to == "nobody":
        raise NonRetriable("nobody lives here")
    if run.attempt == 1:
        raise ValueError("the knife is blunt")
    return ParcelOpened(to=event.to)
""",
    "actors/parcels/enjoy.py": """
from broker import Run, actor
from parlour.schemas import ParcelOpened

@actor()
def enjoy(event: ParcelOpened, run: Run) -> None:
    print("old joy")
""",
}


@dataclass(frozen=True)
class Desk:
    """A running `callboard dev` and the package `parlour` that it runs."""

    process: "subprocess.Popen[str]"
    package: Path
    output: Path

    def shown(self) -> str:
        return self.output.read_text()

    def shows(self, *parts: str, since: str = "") -> str:
        """The output once all parts are in it, behind the last `since`. AssertionError with the output when they never are."""

        def found() -> str | None:
            assert self.process.poll() is None, self.shown()
            told = self.shown().rpartition(since)[2] if since else self.shown()
            missing = [part for part in parts if part not in told]
            assert missing == [], self.shown()
            return told

        return eventually(found, LIMIT) or ""

    def change(self, name: str, old: str, new: str) -> None:
        path = self.package / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def write(self, name: str, text: str) -> None:
        path = self.package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def write_package(folder: Path) -> Path:
    """The package `parlour`, as `Desk` begins with it."""
    package = folder / "parlour"
    for name, text in FILES.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return package


@contextmanager
def working(
    folder: Path, *arguments: str, dsn: str | None = None, checkout: Path | None = None
) -> Generator[Desk]:
    """Interrupted at the end, if it has not ended. Without a DSN it brings its own PostgreSQL. With a `checkout` it runs that
    one's own rooms instead of the package."""
    output, package = folder / "output.txt", checkout or folder / "parlour"
    others = {name: value for name, value in os.environ.items() if not name.startswith("CALLBOARD_")}
    own = {"CALLBOARD_APPS": "parlour", "CALLBOARD_DATA": str(folder / "state"), "PYTHONPATH": str(folder)}
    given = own if checkout is None else {"PYTHONPATH": str(checkout)}
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "ops", "dev", *arguments],
            cwd=checkout or HOUSE, env={**others, **given, **({"CALLBOARD_DATABASE_URL": dsn} if dsn else {})},
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
    try:
        yield Desk(process, package, output)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(LIMIT.total_seconds())
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
