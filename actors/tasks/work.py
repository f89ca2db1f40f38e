"""The work itself: a file's size and SHA-256."""

import hashlib

from pydantic import BaseModel

from actors.tasks.settings import TasksSettings
from broker import load_settings


class Measured(BaseModel):
    """`size` in bytes."""

    file: str
    size: int
    sha256: str


def measure(file: str) -> Measured:
    """Raises OSError for a file that cannot be read; it may be there the next time."""
    folder = TasksSettings.load().folder or load_settings().data / "tasks"
    with (folder / file).open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256")
        return Measured(file=file, size=opened.tell(), sha256=digest.hexdigest())
