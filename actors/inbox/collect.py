"""Many changes of a client, one recompute: once it is quiet for two seconds, and every ten at the latest (settings)."""

from actors.inbox import store
from actors.inbox.providers import settings
from broker import Debounce, Run, actor
from schemas.inbox import InboxCountsDirty, InboxCountsRecompute


@actor(
    title="Collect Inbox Changes",
    debounce=Debounce(settings().quiet, key="client_id", max_wait=settings().longest_wait),
)
def collect(event: InboxCountsDirty, run: Run) -> InboxCountsRecompute:
    """The request is named after the number of the change: whoever asks for the same one asks for the same recompute."""
    change = run.step("mark-dirty", store.mark_dirty, event.client_id, transactional=True)
    return InboxCountsRecompute(
        client_id=event.client_id,
        request_id=f"change {change}",
        source=event.source,
        priority=event.priority,
    )
