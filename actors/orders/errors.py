"""Everything that can go wrong while songs are made and kept.

    SongError
    ├── MusicError
    │   ├── BadRequestError         final: the provider refuses this order, whenever it is asked (400)
    │   ├── RateLimitedError        429: come back after ``retry_after``
    │   └── MusicUnavailableError   5xx, no connection, no song in time, or an answer that is none
    └── StorageError
        ├── BadKeyError             final: the key would leave the store
        └── StorageUnavailableError the store failed or could not be reached

``final`` says that another try cannot help.
"""

from broker import ProviderError


class SongError(ProviderError):
    """The root of this domain's errors."""


class MusicError(SongError):
    """No song was made."""


class BadRequestError(MusicError):
    """The provider will not make this song: bad input, or a key that it does not accept."""

    final = True


class RateLimitedError(MusicError):
    """The provider asks for fewer requests."""

    def __init__(self, message: str, retry_after: str | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """The Retry-After header as sent, seconds or an HTTP date; None when there was none."""


class MusicUnavailableError(MusicError):
    """The provider failed, could not be reached, or did not finish in time."""


class StorageError(SongError):
    """The song could not be kept, or not be looked up."""


class BadKeyError(StorageError):
    """The key is not a plain relative path."""

    final = True


class StorageUnavailableError(StorageError):
    """The store failed or could not be reached."""
