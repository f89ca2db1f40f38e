"""The settings of the products domain, read from `CALLBOARD_PRODUCTS_*`. Nothing needs to be set."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from broker import EnvironmentSettings


class ProductsSettings(EnvironmentSettings):
    """Which shops may be looked at."""

    model_config = SettingsConfigDict(env_prefix="CALLBOARD_PRODUCTS_")

    allowed_hosts: Annotated[frozenset[str], NoDecode] = frozenset()
    """`host` or `host:port`, separated by commas, that may be fetched though their address is private. For development."""
    fetch_time: timedelta = Field(default=timedelta(seconds=20), gt=timedelta(0))
    """For one page, redirects and body included; below the time limit of `products.scrape`."""
    max_bytes: int = Field(default=4_000_000, ge=1)
    """Of one page, after decompression."""

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return frozenset(part.strip() for part in value.split(",") if part.strip())
        return value
