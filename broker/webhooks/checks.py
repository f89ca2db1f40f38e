"""What can be wrong with webhooks before the first delivery."""

from collections.abc import Sequence
from typing import Any

from broker.actor import Actor
from broker.webhooks.webhook import Webhook
from broker.wiring import Fault


def check_webhooks(webhooks: Sequence[Webhook], actors: Sequence[Actor[Any, Any]]) -> list[Fault]:
    """Twins, and events that nobody hears."""
    heard = {kind for actor in actors for kind in (*actor.hears, *actor.recorded)}
    names = [webhook.name for webhook in webhooks]
    faults = [
        Fault(f"webhook {name}", "declared twice", "rename one of them")
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    return faults + [
        Fault(
            f"event {kind.event_type}",
            f"webhook {webhook.name} publishes it and nobody hears it",
            'write an actor whose first parameter is this event, or declare it audience="outside" if other services hear it',
        )
        for webhook in webhooks
        for kind in webhook.kinds
        if kind not in heard and kind.event_audience == "house"
    ]
