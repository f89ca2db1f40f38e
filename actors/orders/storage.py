"""Where finished songs are kept: what a store is, and the one that is a folder."""

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from actors.orders.errors import BadKeyError, StorageUnavailableError


class SongStorage(Protocol):
    """Anything that can keep a file under a key such as "orders/17/1.wav"."""

    def put(self, key: str, data: bytes, content_type: str) -> str:
        """Keep the data, whole or not at all, and return its URL; may be repeated. Raises StorageError."""
        ...

    def exists(self, key: str) -> bool:
        """Whether the key holds data; raises StorageError when that cannot be found out."""
        ...

    def delete(self, key: str) -> None:
        """Keep it no longer; a key that holds nothing is fine. Raises StorageError."""
        ...


@dataclass(frozen=True)
class FileStorage:
    """Keeps files below a folder; whoever serves the folder does so at `base_url`."""

    root: Path
    base_url: str

    def put(self, key: str, data: bytes, content_type: str) -> str:
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._refuse_escape(path)
            _write_whole(path, data)
        except OSError as error:
            raise StorageUnavailableError(f"{key} could not be written: {error.strerror}") from error
        return f"{self.base_url.rstrip('/')}/{quote(key)}"

    def exists(self, key: str) -> bool:
        path = self._path(key)
        self._refuse_escape(path)
        return path.is_file()

    def delete(self, key: str) -> None:
        path = self._path(key)
        self._refuse_escape(path)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageUnavailableError(f"{key} could not be deleted: {error.strerror}") from error

    def _path(self, key: str) -> Path:
        check_key(key)
        return self.root / key

    def _refuse_escape(self, path: Path) -> None:
        """A link inside the folder may lead out of it, which the key alone does not show."""
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise BadKeyError(f"{path.name} would be outside of the storage folder")


def check_key(key: str) -> None:
    """Raise BadKeyError for anything but plain names divided by slashes."""
    if len(key) > 500 or not _KEY.fullmatch(key):
        raise BadKeyError(f"{key[:100]!r} is no storage key: use letters, digits, '-', '_', '.' and '/'")


def _write_whole(path: Path, data: bytes) -> None:
    """Write beside the place and rename: a reader sees all or nothing, also after a crash."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".upload-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o644)  # mkstemp makes it readable to us alone
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# No name begins with a dot: neither "..", nor the uploads that are not finished.
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
