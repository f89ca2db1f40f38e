"""A real mail server in the test's process, which takes, puts off or refuses as the test says."""

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage, Message
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from ops.embedded.process import free_port


class PostOffice:
    """What came stands in `letters`. `answers` are for the next messages, one each; then all are taken."""

    def __init__(self) -> None:
        self.letters: list[Message[str, str]] = []
        self.answers: list[str] = []
        self.refused: dict[str, str] = {}
        """Recipient → what the server says to it."""
        self.slow_seconds = 0.0
        self.thinking_seconds = 0.0
        """After it has taken a letter, before it says so."""
        self.taken = threading.Event()
        """Set when a letter has come, before it is answered."""
        self.port = 0

    async def handle_RCPT(  # noqa: N802  the server's names
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if (no := self.refused.get(address)) is not None:
            return no
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.slow_seconds:
            await asyncio.sleep(self.slow_seconds)
        answer = self.answers.pop(0) if self.answers else "250 OK"
        if answer.startswith("2"):
            assert isinstance(envelope.content, bytes)
            self.letters.append(message_from_bytes(envelope.content, _class=EmailMessage, policy=default))
            self.taken.set()
            if self.thinking_seconds:
                await asyncio.sleep(self.thinking_seconds)
        return answer

    @property
    def recipients(self) -> list[str]:
        return sorted(str(letter["To"]) for letter in self.letters)


@contextmanager
def open_office() -> Generator[PostOffice]:
    office = PostOffice()
    office.port = free_port()
    controller: Any = Controller(office, hostname="127.0.0.1", port=office.port)
    controller.start()
    try:
        yield office
    finally:
        controller.stop()
