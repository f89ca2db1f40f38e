"""A prompter far away tells us what to say."""

from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from broker import EnvironmentSettings, Secrets, StandardWebhooks, Webhook, WebhookDelivery
from tests.support.troupe.schemas import LineSpoken


class PrompterSettings(EnvironmentSettings):
    model_config = SettingsConfigDict(env_prefix="CALLBOARD_PROMPTER_")

    secret: SecretStr = SecretStr("")


def line(delivery: WebhookDelivery) -> LineSpoken | None:
    folder = delivery.payload.get("folder")
    return LineSpoken(folder=folder) if isinstance(folder, str) else None


prompter = Webhook("prompter", StandardWebhooks(Secrets(PrompterSettings, "secret")), line)
