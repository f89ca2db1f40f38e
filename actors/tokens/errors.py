"""Everything that can go wrong while a token is refreshed.

    TokenError
    ├── GrantRefusedError         final: the provider takes neither this token nor these credentials
    ├── ProviderBusyError         429: come back after ``retry_after``
    └── ProviderUnavailableError  5xx, no answer in time, or an answer that is no token

``final`` says that another try cannot help. No text holds a token.
"""

from broker import ProviderError


class TokenError(ProviderError):
    """The root of this domain's errors."""


class GrantRefusedError(TokenError):
    """The provider refused the refresh: the shop has to install the app again, or our credentials are wrong."""

    final = True


class ProviderBusyError(TokenError):
    """The provider asks for fewer requests."""

    def __init__(self, message: str, retry_after: str | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """The Retry-After header as sent, seconds or an HTTP date; None when there was none."""


class ProviderUnavailableError(TokenError):
    """The provider failed, or could not be understood."""
