"""Say that a token cannot be refreshed any more: the sweep leaves it alone until the shop has installed the app again."""

import json

from actors.tokens import store
from broker import NonRetriable, Run, actor
from schemas import Failure, SchemaError, validate
from schemas.tokens import TokenRefreshNeeded

FOR_GOOD = "not retriable"
"""The reason of what the provider refused. A provider that was away for all attempts is asked again by the next sweep."""


@actor(title="Mark Token as Refused")
def fail(event: Failure, run: Run) -> None:
    if event.reason == FOR_GOOD:
        asked = _asked(event)
        run.write(store.REFUSED, {"shop_id": asked.shop_id, "provider": asked.provider})


def _asked(event: Failure) -> TokenRefreshNeeded:
    """What was given up. Raises NonRetriable where it says of no token: the dead letter itself is kept."""
    told = event.event
    try:
        found = validate(told.type, told.version, json.dumps(told.data).encode()) if told else None
    except SchemaError as error:
        raise NonRetriable(
            f"dead letter {event.dead_letter_id} holds an event that cannot be read"
        ) from error
    if not isinstance(found, TokenRefreshNeeded):
        raise NonRetriable(f"dead letter {event.dead_letter_id} is about no token")
    return found
