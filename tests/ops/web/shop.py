"""A shop that hears of its payments by webhook: its settings, events, actors and webhooks."""

from typing import Any

from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from broker import (
    Actor,
    EnvironmentSettings,
    Run,
    Salla,
    Schedule,
    Secrets,
    StandardWebhooks,
    Stripe,
    Tick,
    Webhook,
    WebhookDelivery,
    actor,
)
from schemas import Event
from schemas.webhooks import WebhookReceived

HEARD = "create table if not exists heard (type text not null, text text not null)"
_HEAR = "insert into heard values (%s, %s)"


class TillSettings(EnvironmentSettings):
    model_config = SettingsConfigDict(env_prefix="CALLBOARD_TILL_")

    stripe_secrets: SecretStr = SecretStr("")
    salla_secrets: tuple[SecretStr, ...] = ()
    standard_secrets: SecretStr = SecretStr("")


class TillPaid(Event, type="till.paid"):
    session_id: str
    cents: int


class TillThanked(Event, type="till.thanked"):
    session_id: str


class TillRang(Event, type="till.rang"):
    at: str


def of_stripe(delivery: WebhookDelivery) -> TillPaid | list[TillThanked] | None:
    match delivery.topic:
        case "checkout.session.completed":
            return TillPaid.model_validate(delivery.payload["data"])
        case "checkout.session.thanked":
            return [TillThanked(session_id=f"{delivery.id} {n}") for n in range(3)]
        case _:
            return None


def of_tick(tick: Tick) -> TillRang:
    return TillRang(at=tick.slot.isoformat())


@actor()
def ring(event: TillPaid | TillThanked | TillRang, run: Run) -> None:
    run.write(_HEAR, (event.event_type, run.event_id))


@actor()
def keep(event: WebhookReceived, run: Run) -> None:
    run.write(
        _HEAR, (event.event_type, f"{event.provider} {event.topic} {event.delivery_id} {event.shop_id}")
    )


ACTORS: tuple[Actor[Any, Any], ...] = (ring, keep)
WEBHOOKS = (
    Webhook("stripe", Stripe(Secrets(TillSettings, "stripe_secrets")), of_stripe),
    Webhook("salla", Salla(Secrets(TillSettings, "salla_secrets"))),
    Webhook("standard", StandardWebhooks(Secrets(TillSettings, "standard_secrets"))),
)
SCHEDULES = (Schedule("nightly", "0 3 * * *", of_tick),)
