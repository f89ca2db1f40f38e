"""What can go wrong while a page is fetched.

    FetchError
    ├── RefusedAddressError     final: the address is one we never call
    ├── PageTooLargeError       final: more bytes than we keep, counted after decompression
    ├── NotHtmlError            final: some other kind of file
    ├── TooManyRedirectsError   final: a loop, or as good as one
    ├── HttpStatusError         final for 4xx but 408, 425 and 429, which ask to come back
    ├── FetchTimeoutError       the time for the whole fetch is used up
    ├── UnreachableError        no such name, no connection, no valid TLS
    └── BrokenAnswerError       an answer that breaks HTTP or its own compression
    PageTooDeepError            final: nested so deeply that reading it would take minutes

``final`` says that another try cannot help.
"""

from broker.provider_errors import ProviderError


class FetchError(ProviderError):
    """The page could not be had."""


class RefusedAddressError(FetchError):
    """The URL, or the address behind it, is one that a page fetch must never reach."""

    final = True


class PageTooLargeError(FetchError):
    """The body is larger than the limit."""

    final = True


class NotHtmlError(FetchError):
    """The answer is no HTML page."""

    final = True


class TooManyRedirectsError(FetchError):
    """The page was still somewhere else after the last redirect that we follow."""

    final = True


class HttpStatusError(FetchError):
    """The server answered with a status that is neither a page nor a redirect."""

    def __init__(self, url: str, status: int, retry_after: str | None = None) -> None:
        super().__init__(f"{url} answered {status}")
        self.status = status
        self.retry_after = retry_after
        """The Retry-After header as sent, seconds or an HTTP date; None when there was none."""
        self.final = 400 <= status < 500 and status not in (408, 425, 429)


class FetchTimeoutError(FetchError):
    """The whole fetch, redirects and body included, took longer than its limit."""


class UnreachableError(FetchError):
    """The name does not resolve, nobody answers there, or TLS could not be agreed."""


class BrokenAnswerError(FetchError):
    """The answer is not valid HTTP, or its body does not decompress."""


class PageTooDeepError(ProviderError):
    """Thousands of open elements or attributes, which a page has only by accident or to do harm."""

    final = True
