"""Many changes of a client, one recompute: once it is quiet for two seconds, and every ten at the latest."""

from datetime import timedelta

from actors.inbox import store
from broker import Debounce, Run, actor
from schemas.inbox import InboxCountsDirty, InboxCountsRecompute


@actor(
    title="Collect Inbox Changes",
    debounce=Debounce(timedelta(seconds=2), key="client_id", max_wait=timedelta(seconds=10)),
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
