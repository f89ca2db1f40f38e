"""Forget a person: purchases, and the log of letters to them, by user id or address."""

from actors.emails import store
from broker import Run, actor
from schemas.people import PersonErasureRequested


@actor(title="Erase a Person's Letters")
def erase(event: PersonErasureRequested, run: Run) -> None:
    for statement in store.ERASE:
        run.write(statement, {"person": event.person_id})
