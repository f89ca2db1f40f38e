"""Refresh a client's aggregates: always where that is switched on, else when they are older than promised."""

from datetime import timedelta

from pydantic import BaseModel

from actors.inbox import providers, store
from broker import Concurrency, Run, actor
from schemas.inbox import AnalyticsAggregatesRecompute

JOB = "analytics-recompute"


class Refreshed(BaseModel):
    """`version` is None where the aggregates are young enough."""

    version: int | None


@actor(
    title="Refresh Analytics",
    time_limit=timedelta(minutes=1),
    concurrency=Concurrency(providers.settings().refreshes_at_once),
    priority="priority",
)
def refresh_analytics(event: AnalyticsAggregatesRecompute, run: Run) -> Refreshed:
    settings = providers.settings()
    age = run.step("look-at-age", store.aggregates_age, event.client_id, transactional=True)
    if not settings.analytics and age is not None and age <= settings.analytics_slo:
        return Refreshed(version=None)
    run.step("note-status", store.note_newest, event.client_id, JOB, run.id, transactional=True)
    version = run.step("refresh", store.refresh_aggregates, event.client_id, transactional=True)
    return Refreshed(version=version)
