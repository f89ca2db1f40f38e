"""Speak a line: one more character in a file."""

from pathlib import Path

from broker import Run, actor
from tests.support.troupe.schemas import LineSpoken


@actor()
def speak(event: LineSpoken, run: Run) -> None:
    with (Path(event.folder) / "spoken").open("a") as file:
        file.write(f"{run.attempt}\n")
