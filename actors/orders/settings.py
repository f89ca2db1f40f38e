"""The settings of the orders domain, read from `CALLBOARD_ORDERS_*`. Nothing needs to be set."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from broker import EnvironmentSettings


class OrdersSettings(EnvironmentSettings):
    """Who makes songs, and where they are kept."""

    model_config = SettingsConfigDict(env_prefix="CALLBOARD_ORDERS_")

    stripe_secrets: SecretStr = SecretStr("")
    """Of `POST /webhooks/stripe`: `whsec_…`; several, separated by commas, while one is exchanged. Empty: nothing is taken."""
    music_url: str = ""
    """A music API as `actors/orders/music_api.py` describes it. Empty: the built-in synthesiser."""
    music_key: SecretStr = SecretStr("")
    """Its key."""
    music_model: str = "music-1"
    """Its model."""
    music_patience: timedelta = Field(default=timedelta(minutes=5), gt=timedelta(0))
    """For one song; three of them stay below the time limit of `orders.generate`."""
    storage: Path | None = None
    """The folder of finished songs. None: `songs` below `CALLBOARD_DATA`."""
    storage_url: str = "/songs"
    """Where that folder is served, as buyers see it."""
    s3_endpoint: str = ""
    """An S3-compatible store, such as `https://s3.eu-central-1.amazonaws.com`. Empty: songs are kept in the folder."""
    s3_bucket: str = ""
    """Required with an endpoint."""
    s3_region: str = "us-east-1"
    """The bucket's."""
    s3_access_key: str = ""
    """The key's id."""
    s3_secret_key: SecretStr = SecretStr("")
    """The key."""
    s3_public_url: str | None = None
    """Where buyers reach the bucket. None: the endpoint itself."""

    @model_validator(mode="after")
    def _name_the_bucket(self) -> "OrdersSettings":
        if self.s3_endpoint and not self.s3_bucket:
            raise ValueError("CALLBOARD_ORDERS_S3_ENDPOINT is set: set CALLBOARD_ORDERS_S3_BUCKET too")
        return self
