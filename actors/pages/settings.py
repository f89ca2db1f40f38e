"""The settings of the pages domain, read from `CALLBOARD_PAGES_*`. Nothing needs to be set."""

from datetime import timedelta

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from broker import EnvironmentSettings
from broker.environment import Separated


class PagesSettings(EnvironmentSettings):
    """Which pages may be fetched, and who analyses them."""

    model_config = SettingsConfigDict(env_prefix="CALLBOARD_PAGES_")

    allowed_hosts: Separated[frozenset[str]] = frozenset()
    """`host` or `host:port`, separated by commas, that may be fetched though their address is private. For development."""
    fetch_time: timedelta = Field(default=timedelta(seconds=20), gt=timedelta(0))
    """For one page, redirects and body included; below the time limit of `pages.scan`."""
    max_bytes: int = Field(default=2_000_000, ge=1)
    """Of one page, after decompression."""
    model_url: str = ""
    """An endpoint that speaks OpenAI's chat completions, such as `https://api.openai.com/v1`. Empty: the built-in rules."""
    model_key: SecretStr = SecretStr("")
    """Its key."""
    model_name: str = "gpt-4o-mini"
    """Its model."""
    model_time: timedelta = Field(default=timedelta(seconds=60), gt=timedelta(0))
    """For one answer."""
