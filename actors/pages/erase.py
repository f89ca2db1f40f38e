"""Forget a person: their pages with all advice, and their batches."""

from actors.pages import batch_store, store
from broker import Run, actor
from schemas.people import PersonErasureRequested


@actor(title="Erase a Person's Pages")
def erase(event: PersonErasureRequested, run: Run) -> None:
    for statement in (*store.ERASE, *batch_store.ERASE):
        run.write(statement, {"person": event.person_id})
