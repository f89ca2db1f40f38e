"""What the ferry says. `folder` is where bodies note what they do, and where they wait for `go`."""

from pathlib import Path

from schemas import Event


class FerryRowed(Event, type="ferry.rowed"):
    folder: str


class FerryDrifted(Event, type="ferry.drifted"):
    folder: str


class FerryMoored(Event, type="ferry.moored"):
    folder: str


def note(folder: str, word: str) -> None:
    with (Path(folder) / "notes").open("a") as notes:
        notes.write(f"{word}\n")


def gone(folder: str) -> bool:
    return (Path(folder) / "go").exists()
