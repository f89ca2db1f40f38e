"""A webhook as its author declares it: a name, how its deliveries are signed, and which events they become."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, get_type_hints

from broker.errors import ConfigurationError
from broker.signature import members
from broker.webhooks.signatures import Scheme
from schemas import Event
from schemas.webhooks import WebhookReceived

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """One delivery, its signature checked. `id` is the same each time the provider sends it, `topic` empty where it says none."""

    provider: str
    topic: str
    id: str
    payload: dict[str, Any]
    shop_id: str | None = None

    def received(self) -> WebhookReceived:
        """As the event of those who have said nothing else."""
        return WebhookReceived(
            provider=self.provider,
            topic=self.topic,
            delivery_id=self.id,
            shop_id=self.shop_id,
            payload=self.payload,
        )


Mapping: TypeAlias = Callable[[WebhookDelivery], Event | Sequence[Event] | None]


@dataclass(frozen=True, slots=True, eq=False)
class Webhook:
    """`Webhook("stripe", Stripe(Secrets(ShopSettings, "stripe_secrets")), events_of)`, answered at `POST /webhooks/stripe`.

    `mapping` makes events of a delivery: one, several, or None for a topic that it does not know, which then leaves as
    `webhook.received`, and so does a delivery for which it raises. A connection is held while it is called, and it is
    called for repeats too: it must be quick and do nothing else. Its annotation says which events. Without a mapping every
    delivery is a `webhook.received`.

    Raises ConfigurationError, naming the webhook, for whatever cannot work.
    """

    name: str
    scheme: Scheme
    mapping: Mapping | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or len(self.name) > 100:
            raise ConfigurationError(
                f"webhook {self.name!r}: name it in lower case, like 'stripe', in at most 100 characters"
            )
        _ = self.kinds

    @property
    def source(self) -> str:
        """The CloudEvents `source` of its events."""
        return f"webhooks/{self.name}"

    @property
    def kinds(self) -> tuple[type[Event], ...]:
        """The types that it publishes when all is well. Raises ConfigurationError."""
        if self.mapping is None:
            return (WebhookReceived,)
        fault = f"webhook {self.name}: mapping= is a function (delivery: WebhookDelivery) -> YourEvent | None"
        try:
            found: list[Any] = members(get_type_hints(self.mapping).get("return"))
        except (NameError, TypeError) as error:
            raise ConfigurationError(f"{fault}: its annotation cannot be resolved: {error}") from error
        if not found or not all(issubclass(kind, Event) and hasattr(kind, "event_type") for kind in found):
            raise ConfigurationError(f"{fault}; annotate it with the events that it returns")
        return tuple(dict.fromkeys(found))

    def events(self, delivery: WebhookDelivery) -> list[Event]:
        """None of a topic that it does not know. Raises whatever the author's function raises, and TypeError for what is none of
        the events that it is annotated with."""
        if self.mapping is None:
            return [delivery.received()]
        made = self.mapping(delivery)
        events = [] if made is None else [made] if isinstance(made, Event) else list(made)
        strangers = {type(event).__name__ for event in events if type(event) not in self.kinds}
        if strangers:
            raise TypeError(f"it made {', '.join(sorted(strangers))}, with which it is not annotated")
        return events
