"""Say that a page could not be scanned or analysed: in its row, and to its user."""

from actors.pages import store
from actors.pages.batch_store import FAIL_MEMBER
from broker import Run, actor, failed_event
from schemas import Failure
from schemas.notifications import NotificationSend
from schemas.pages import PageAnalyzeRequested, PageScanRequested, PageScanSettled

MAX_REASON = 1_000
"""In a notification: enough to act on, and it is the dead letter that keeps everything."""


@actor(title="Mark Page as Failed", publishes=[PageScanSettled])
def fail(event: Failure, run: Run) -> NotificationSend:
    """A page that was scanned stays `completed` when only its analysis failed: what was found is there."""
    failed = failed_event(event, PageScanRequested, PageAnalyzeRequested)
    reason = f"{event.reason}: {event.error}"[:MAX_REASON]
    title, work = "Analysis Failed", "analysed"
    if isinstance(failed, PageScanRequested):
        title, work = "Scan Failed", "scanned"
        run.write(
            store.FAIL_SCAN,
            {
                "id": failed.page_id,
                "user_id": failed.user_id,
                "url": str(failed.url),
                "reason": reason,
                "failed_at": event.failed_at,
            },
        )
        if failed.batch_id is not None:
            run.write(FAIL_MEMBER, {"batch_id": failed.batch_id, "page_id": failed.page_id})
            run.publish(PageScanSettled(batch_id=failed.batch_id))
    message = f"{failed.url} could not be {work}. {reason}"
    return NotificationSend(user_id=failed.user_id, title=title, message=message, type="error")
