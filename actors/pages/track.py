"""Tell how far a batch is: counted from its members, once things have calmed down, and at the latest every few seconds."""

from datetime import timedelta

from actors.pages import batch_store as store
from broker import Debounce, Result, Run, actor
from schemas.notifications import NotificationSend
from schemas.pages import BatchProgressUpdated, PageScanSettled


@actor(
    title="Track Batch Progress",
    publishes=[NotificationSend],
    debounce=Debounce(timedelta(seconds=1), key="batch_id", max_wait=timedelta(seconds=5)),
)
def track(event: PageScanSettled, run: Run) -> Result[store.Progress, BatchProgressUpdated]:
    """Each page that is over asks for it, with the commit that makes it so: the last one sees all of them over."""
    progress = run.step("count", store.count_batch, event.batch_id, transactional=True)
    update = BatchProgressUpdated(
        project_id=progress.project_id,
        user_id=progress.user_id,
        total_pages=progress.total,
        done=progress.completed,
        failed=progress.failed,
        status="completed" if progress.over else "in-progress",
    )
    run.broadcast(f"project-{progress.project_id}", update.model_dump(mode="json"), name="batch-progress")
    if progress.finished:
        run.publish(summary(progress))
    return Result(progress, publish=[update])


def summary(progress: store.Progress) -> NotificationSend:
    return NotificationSend(
        user_id=progress.user_id,
        title="Batch Complete",
        message=f"{progress.completed} of {progress.total} pages were scanned, {progress.failed} could not be.",
        type="success" if progress.completed else "error",
    )
