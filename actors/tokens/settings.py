"""The settings of the tokens domain, read from `CALLBOARD_TOKENS_*`. Nothing needs to be set."""

from datetime import timedelta

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from broker import EnvironmentSettings


class TokensSettings(EnvironmentSettings):
    """Where tokens are refreshed, and how early."""

    model_config = SettingsConfigDict(env_prefix="CALLBOARD_TOKENS_")

    url: str = ""
    """The provider's OAuth 2 token endpoint. Empty: a refresh is a dead letter that says so."""
    client_id: str = ""
    """Our app's id there."""
    client_secret: SecretStr = SecretStr("")
    """Its secret."""
    answer_time: timedelta = Field(default=timedelta(seconds=10), gt=timedelta(0))
    """For one answer; a row lock is held meanwhile."""
    fresh_for: timedelta = Field(default=timedelta(minutes=10), gt=timedelta(0))
    """A token that lives longer than this is fresh and is left alone. The sweep comes every five minutes."""
