"""Forget a client: messages, counts, aggregates, and which jobs were done."""

from actors.inbox import store
from broker import Run, actor
from schemas.people import PersonErasureRequested


@actor(title="Erase a Client's Inbox")
def erase(event: PersonErasureRequested, run: Run) -> None:
    for statement in store.ERASE:
        run.write(statement, {"person": event.person_id})
