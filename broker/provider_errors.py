"""What a service outside answers instead of doing its work, and what that means for a run: never again, not before, or by the
run's own backoff."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

from broker.backoff import retry_after
from broker.signals import NonRetriable, RetryAfter

LONGEST_WAIT = timedelta(hours=1)
"""A stranger's header may not keep a run waiting for a year."""


class ProviderError(Exception):
    """The root of the errors of a domain that asks others to do something."""

    final: bool = False
    """Another try cannot help."""
    retry_after: str | None = None
    """A Retry-After header as it was sent, seconds or an HTTP date."""


@contextmanager
def judged() -> Generator[None]:
    """Raise NonRetriable for a final ProviderError, and RetryAfter for one that says when to come back, at most LONGEST_WAIT from
    now. Others go through, as does one whose header is nonsense."""
    try:
        yield
    except ProviderError as error:
        if error.final:
            raise NonRetriable(str(error)) from error
        wait = _wait(error.retry_after)
        if wait is None:
            raise
        raise RetryAfter(wait, str(error)) from error


def _wait(told: str | None) -> timedelta | None:
    if told is None:
        return None
    try:
        return min(retry_after(told), LONGEST_WAIT)
    except ValueError:
        return None
