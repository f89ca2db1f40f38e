"""A message, and who may send it."""

from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from typing import Protocol
from uuid import NAMESPACE_OID

from schemas import derived


@dataclass(frozen=True, slots=True)
class Letter:
    """One message to one recipient. `key` is the same for every try of it: services that keep keys send it once."""

    key: str
    sender: str
    """`Name <address>`, or an address."""
    recipient: str
    subject: str
    text: str
    html: str

    @property
    def message_id(self) -> str:
        """The same for every try, so that a mailbox shows a second copy as the same message."""
        _, address = parseaddr(self.sender)
        return f"<{derived(NAMESPACE_OID, 'email', self.key)}@{address.rpartition('@')[2]}>"

    def mime(self) -> EmailMessage:
        """As mail servers take it: the text, and HTML for those who show it."""
        message = EmailMessage()
        message["From"] = self.sender
        message["To"] = self.recipient
        message["Subject"] = self.subject
        message["Message-ID"] = self.message_id
        message["Date"] = formatdate(localtime=False)
        message.set_content(self.text)
        message.add_alternative(self.html, subtype="html")
        return message


class Mailer(Protocol):
    """Anything that can send a letter."""

    @property
    def name(self) -> str:
        """As `email_log` tells it."""
        ...

    def send(self, letter: Letter) -> str:
        """The message's id, once the service has taken it. Sent again with the same key, a service that keeps keys sends nothing,
        the others a copy with the same Message-ID. Raises MailError."""
        ...
