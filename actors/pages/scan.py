"""Scan a page: fetch it, read it, keep what was found, ask for its analysis and tell its user."""

from datetime import timedelta

from actors.pages import providers, store
from actors.pages.batch_store import COMPLETE_MEMBER
from actors.pages.fail import fail
from actors.pages.parser import parse
from actors.pages.scanned import scanned
from broker import SCRAPER, Run, Throttle, actor, judged
from schemas.notifications import NotificationSend
from schemas.pages import PageAnalyzeRequested, PageScanRequested, PageScanSettled, ScannedPage


@actor(
    title="Scan Single Page",
    retry=SCRAPER,
    time_limit=timedelta(seconds=60),
    throttle=Throttle(10, per=timedelta(minutes=1), key="user_id"),
    publishes=[NotificationSend, PageScanSettled],
    on_failure=fail,
)
def scan(event: PageScanRequested, run: Run) -> PageAnalyzeRequested:
    page = run.step("fetch-and-parse", fetch_page, str(event.url))
    run.write(store.SAVE_PAGE, store.scan_values(event, page))
    run.publish(
        NotificationSend(
            user_id=event.user_id,
            title="Scan Complete",
            message=f"{event.url} was scanned; its analysis has begun.",
            type="success",
        )
    )
    if event.batch_id is not None:
        run.write(COMPLETE_MEMBER, {"batch_id": event.batch_id, "page_id": event.page_id})
        run.publish(PageScanSettled(batch_id=event.batch_id))
    return PageAnalyzeRequested(page_id=event.page_id, url=event.url, user_id=event.user_id, scan=page)


def fetch_page(url: str) -> ScannedPage:
    """Raises NonRetriable for what can never be scanned: a refused address, no HTML, too large, gone."""
    with judged():
        page = providers.fetcher().fetch(url)
        return scanned(parse(page.body, page.url, page.content_type))
