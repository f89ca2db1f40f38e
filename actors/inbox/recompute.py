"""Recompute a client's counts: once a request, a few clients at a time."""

from datetime import timedelta

from pydantic import BaseModel

from actors.inbox import store
from actors.inbox.providers import settings
from broker import Backoff, Concurrency, Idempotency, Run, actor
from schemas import Event
from schemas.inbox import AnalyticsAggregatesRecompute, InboxCountsRecompute

JOB = "inbox-counts-recompute"


class Recounted(BaseModel):
    """`dirty` says that the client has changed meanwhile: its next event will bring another recompute."""

    version: int
    dirty: bool


def by_request(event: Event) -> object:
    return (getattr(event, "client_id"), getattr(event, "request_id"))  # noqa: B009


@actor(
    title="Recompute Inbox Counts",
    publishes=[AnalyticsAggregatesRecompute],
    retry=Backoff(timedelta(seconds=1), timedelta(seconds=30), attempts=5),
    time_limit=timedelta(minutes=1),
    concurrency=Concurrency(settings().recomputes_at_once),
    priority="priority",
    idempotency=Idempotency(by_request, ttl=settings().same_request),
)
def recompute(event: InboxCountsRecompute, run: Run) -> Recounted:
    client = event.client_id
    run.step("note-status", store.note_newest, client, JOB, run.id, transactional=True)
    counted = run.step("recompute", store.recount, client, transactional=True)
    version = run.step("bump-version", store.bump_version, client, transactional=True)
    dirty = run.step("clear-dirty", store.clear_dirty, client, counted, transactional=True)
    run.publish(
        AnalyticsAggregatesRecompute(
            client_id=client, request_id=event.request_id, source=event.source, priority=event.priority
        )
    )
    return Recounted(version=version, dirty=dirty)
