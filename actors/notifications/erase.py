"""Forget a person: all that they were told."""

from actors.notifications import store
from broker import Run, actor
from schemas.people import PersonErasureRequested


@actor(title="Erase a Person's Notifications")
def erase(event: PersonErasureRequested, run: Run) -> None:
    run.write(store.ERASE, {"person": event.person_id})
