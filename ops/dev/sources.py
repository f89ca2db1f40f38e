"""Which folders the code comes from: those are watched, and a fault is told by its line in them."""

import importlib.util
import os
import traceback
from collections.abc import Sequence
from pathlib import Path

from broker import Settings

HOUSE = Path(__file__).parents[2]
ROOMS = ("schemas", "actors", "pipelines")


def folders(settings: Settings) -> list[Path]:
    """This checkout's rooms, where they are loaded, and each app's package. One that is not there yet is left out."""
    own = [HOUSE / room for room in ROOMS] if settings.demo else []
    return [
        folder for folder in [*own, *map(_package, settings.apps)] if folder is not None and folder.is_dir()
    ]


def place_of(error: BaseException, watched: Sequence[Path]) -> str | None:
    """`actors/gifts/thank.py:12`: the innermost line of the author's that an error came through."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_from_here(Path(error.filename))}:{error.lineno or 1}"
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if any(Path(frame.filename).is_relative_to(folder) for folder in watched):
            return f"{_from_here(Path(frame.filename))}:{frame.lineno}"
    return place_of(error.__cause__, watched) if error.__cause__ is not None else None


def _package(name: str) -> Path | None:
    """Without importing it, though its parents are."""
    try:
        spec = importlib.util.find_spec(name)
    except ImportError:
        return None
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0]).absolute() if places else None


def _from_here(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else "/".join(path.parts[-4:])
