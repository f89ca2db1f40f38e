"""The settings, read when first needed. Importing this reads nothing."""

from functools import cache

from actors.inbox.settings import InboxSettings


@cache
def settings() -> InboxSettings:
    """Read once a process; raises ConfigurationError for a setting that makes no sense."""
    return InboxSettings.load()


def forget() -> None:
    """Read them again at the next use: for tests that change them."""
    settings.cache_clear()
