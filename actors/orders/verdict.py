"""What an error of a provider means for a song: never again, not before, or by the step's own backoff."""

from collections.abc import Generator
from contextlib import contextmanager

from actors.orders.errors import RateLimitedError, SongError
from broker import NonRetriable, RetryAfter


@contextmanager
def judged() -> Generator[None]:
    """Raise NonRetriable for a final SongError, and RetryAfter for one that says when to come back."""
    try:
        yield
    except SongError as error:
        if error.final:
            raise NonRetriable(str(error)) from error
        if isinstance(error, RateLimitedError) and error.retry_after is not None:
            raise RetryAfter(error.retry_after, str(error)) from error
        raise
