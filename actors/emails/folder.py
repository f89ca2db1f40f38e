"""Sending into a folder: a maildir, which mail programs open. For development, where nothing may leave the machine."""

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from actors.emails.errors import MailUnavailableError
from actors.emails.mail import Letter


@dataclass(frozen=True)
class Folder:
    """The file is named after the message, so that a second try replaces the first."""

    root: Path
    name: str = "folder"

    def send(self, letter: Letter) -> str:
        file = f"{letter.message_id.strip('<>')}.eml"
        written = self.root / "tmp" / f"{file}.{os.getpid()}.{threading.get_ident()}"
        try:
            for part in ("tmp", "new", "cur"):
                (self.root / part).mkdir(parents=True, exist_ok=True)
            written.write_bytes(bytes(letter.mime()))
            written.replace(self.root / "new" / file)
        except OSError as error:
            raise MailUnavailableError(
                f"the mailbox {self.root} cannot be written: {error.strerror}"
            ) from error
        return letter.message_id
