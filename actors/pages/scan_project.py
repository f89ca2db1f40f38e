"""Scan the pages of a project: a row for each, then a request for each, in one publish. `track` tells how far it is."""

from actors.pages import batch_store as store
from broker import Run, actor
from schemas.pages import PageScanRequested, PageScanSettled, ProjectBatchScanRequested


@actor(title="Batch Scan Project", publishes=[PageScanSettled])
def scan_project(event: ProjectBatchScanRequested, run: Run) -> list[PageScanRequested]:
    members = run.step("insert-pages", store.insert_batch, run.id, event, transactional=True)
    # The first news, and the last where no address is any good.
    run.publish(PageScanSettled(batch_id=run.id))
    return [
        PageScanRequested.model_validate(
            {"page_id": member.page_id, "url": member.url, "user_id": event.user_id, "batch_id": run.id}
        )
        for member in store.members_to_scan(members)
    ]
