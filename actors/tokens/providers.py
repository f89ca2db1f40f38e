"""Who refreshes tokens, chosen by the settings when first needed. Importing this builds nothing."""

from functools import cache

from actors.tokens.oauth import OAuth, TokenProvider
from actors.tokens.settings import TokensSettings
from broker import NonRetriable


@cache
def settings() -> TokensSettings:
    """Read once a process; raises ConfigurationError for a setting that makes no sense."""
    return TokensSettings.load()


@cache
def token_provider() -> TokenProvider:
    """The configured endpoint. Raises NonRetriable when there is none."""
    wanted = settings()
    if not wanted.url:
        raise NonRetriable(
            "no token endpoint is configured: set CALLBOARD_TOKENS_URL, then replay this event"
        )
    return OAuth(wanted.url, wanted.client_id, wanted.client_secret, wanted.answer_time)


def forget() -> None:
    """Choose again at the next use: for tests that change the settings."""
    for choice in (settings, token_provider):
        choice.cache_clear()
