"""The settings of the products domain, read from `CALLBOARD_PRODUCTS_*`. Nothing needs to be set."""

from datetime import timedelta

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from broker import EnvironmentSettings
from broker.environment import Separated


class ProductsSettings(EnvironmentSettings):
    """Which shops may be looked at."""

    model_config = SettingsConfigDict(env_prefix="CALLBOARD_PRODUCTS_")

    allowed_hosts: Separated[frozenset[str]] = frozenset()
    """`host` or `host:port`, separated by commas, that may be fetched though their address is private. For development."""
    fetch_time: timedelta = Field(default=timedelta(seconds=20), gt=timedelta(0))
    """For one page, redirects and body included; below the time limit of `products.scrape`."""
    max_bytes: int = Field(default=4_000_000, ge=1)
    """Of one page, after decompression."""
