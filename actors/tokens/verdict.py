"""What an error of a provider means for a refresh: never again, not before, or by the actor's backoff."""

from collections.abc import Generator
from contextlib import contextmanager

from actors.tokens.errors import ProviderBusyError, TokenError
from broker import NonRetriable, RetryAfter


@contextmanager
def judged() -> Generator[None]:
    """Raise NonRetriable for a final TokenError, and RetryAfter for one that says when to come back."""
    try:
        yield
    except TokenError as error:
        if error.final:
            raise NonRetriable(str(error)) from error
        if isinstance(error, ProviderBusyError) and error.retry_after is not None:
            raise RetryAfter(error.retry_after, str(error)) from error
        raise
