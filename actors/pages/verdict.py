"""What an error of a provider means for the run: never again, not before, or by the actor's own backoff."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

from actors.pages.errors import HttpStatusError, ModelBusyError, PageError
from broker import NonRetriable, RetryAfter
from broker.backoff import retry_after

LONGEST_WAIT = timedelta(hours=1)
"""A stranger's header may not keep a page pending for a year."""


@contextmanager
def judged() -> Generator[None]:
    """Raise NonRetriable for a final PageError, and RetryAfter for one that says when to come back."""
    try:
        yield
    except PageError as error:
        if error.final:
            raise NonRetriable(str(error)) from error
        wait = _wait(error)
        if wait is None:
            raise
        raise RetryAfter(wait, str(error)) from error


def _wait(error: PageError) -> timedelta | None:
    """None where the header is missing or says nonsense."""
    told = error.retry_after if isinstance(error, HttpStatusError | ModelBusyError) else None
    if told is None:
        return None
    try:
        return min(retry_after(told), LONGEST_WAIT)
    except ValueError:
        return None
