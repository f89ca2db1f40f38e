"""Say that a token cannot be refreshed any more: the sweep leaves it alone until the shop has installed the app again."""

from actors.tokens import store
from broker import Run, actor, failed_event
from schemas import Failure
from schemas.tokens import TokenRefreshNeeded

FOR_GOOD = "not retriable"
"""The reason of what the provider refused. A provider that was away for all attempts is asked again by the next sweep."""


@actor(title="Mark Token as Refused")
def fail(event: Failure, run: Run) -> None:
    if event.reason == FOR_GOOD:
        asked = failed_event(event, TokenRefreshNeeded)
        run.write(store.REFUSED, {"shop_id": asked.shop_id, "provider": asked.provider})
