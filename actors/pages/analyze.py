"""Analyse a scanned page: ask the model or the built-in rules, keep the recommendations, tell the user how many."""

from datetime import timedelta

from actors.pages import providers, store
from actors.pages.fail import fail
from actors.pages.prompts import interpolate, page_values
from actors.pages.recommendation import Recommendation
from actors.pages.scanned import facts_of
from broker import AI_API, Run, actor, judged
from schemas.notifications import NotificationSend
from schemas.pages import PageAnalyzeRequested, ScannedPage


@actor(title="Analyze Page for SEO", retry=AI_API, time_limit=timedelta(minutes=2), on_failure=fail)
def analyze(event: PageAnalyzeRequested, run: Run) -> NotificationSend:
    template = run.step("fetch-prompt", store.fetch_prompt, transactional=True)
    found = run.step("run-analysis", run_analysis, template, str(event.url), event.scan)
    run.write(store.KNOW_PAGE, {"id": event.page_id, "user_id": event.user_id, "url": str(event.url)})
    run.write(store.SAVE_RECOMMENDATIONS, store.recommendation_values(event.page_id, found))
    complete = {"page_id": event.page_id, "recommendation_count": len(found), "status": "complete"}
    run.broadcast(f"page-{event.page_id}", complete, name="analysis-complete")
    counted = "1 recommendation" if len(found) == 1 else f"{len(found)} recommendations"
    return NotificationSend(
        user_id=event.user_id,
        title="Analysis Complete",
        message=f"There are {counted} for {event.url}.",
        type="success",
    )


def run_analysis(template: str, url: str, page: ScannedPage) -> list[Recommendation]:
    """Raises NonRetriable for a template that names what we do not have, and for a model that refuses."""
    facts = facts_of(page, url)
    with judged():
        return providers.analyser().analyse(interpolate(template, page_values(facts)), facts)
