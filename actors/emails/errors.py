"""Everything that can go wrong while a message is sent.

    MailError
    ├── MailRefusedError      final: this message, this recipient or our credentials are not accepted
    ├── MailBusyError         429: come back after ``retry_after``
    └── MailUnavailableError  a temporary refusal, no connection, or no answer in time

No text holds an address or a word of a message.
"""

from broker import ProviderError


class MailError(ProviderError):
    """The root of this domain's errors."""


class MailRefusedError(MailError):
    """The service will not take this message, whenever it is asked."""

    final = True


class MailBusyError(MailError):
    """The service asks for fewer messages."""

    def __init__(self, message: str, retry_after: str | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class MailUnavailableError(MailError):
    """The service failed, could not be reached, or said to try again."""
