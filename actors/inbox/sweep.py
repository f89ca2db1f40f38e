"""Find clients whose change was never told: whoever changed them died before the event left."""

from actors.inbox import providers, store
from broker import Run, actor
from schemas.inbox import InboxCountsDirty, InboxSweepDue

MOST = 1_000
"""A sweep; the next one finds the others."""


@actor(title="Find Forgotten Clients")
def sweep(event: InboxSweepDue, run: Run) -> list[InboxCountsDirty]:
    """It works on nothing: it says who is dirty."""
    del event
    after = providers.settings().forgotten_after
    clients = run.step("find", store.forgotten, after, MOST, transactional=True)
    return [
        InboxCountsDirty(client_id=client, request_id=str(run.id), source="sweep", priority=-1)
        for client in clients
    ]
