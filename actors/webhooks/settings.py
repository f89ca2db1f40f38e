"""The settings of the webhooks domain, read from `CALLBOARD_WEBHOOKS_*`. A webhook without a secret is shut."""

from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from broker import EnvironmentSettings


class WebhooksSettings(EnvironmentSettings):
    """What shops sign with."""

    model_config = SettingsConfigDict(env_prefix="CALLBOARD_WEBHOOKS_")

    salla_secrets: SecretStr = SecretStr("")
    """Of `POST /webhooks/salla`; several, separated by commas, while one is exchanged. Empty: nothing is taken."""
    standard_secrets: SecretStr = SecretStr("")
    """Of `POST /webhooks/standard`, for whoever signs as Standard Webhooks: `whsec_…`; several, separated by commas."""
