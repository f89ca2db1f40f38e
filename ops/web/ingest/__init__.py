"""Publishing over HTTP: `POST /events` for CloudEvents, `POST /e/{key}` for the plain form that event-function SDKs send, what
became of an event, and what watches over a service asks: `/healthz`, `/readyz`, `/actors`, `/openapi.json`."""

from starlette.routing import Route

from broker import Settings
from ops.boot import App
from ops.web.crowd import Crowd
from ops.web.desk import Desk
from ops.web.ingest.access import Access
from ops.web.ingest.events import EventsDoor
from ops.web.ingest.faults import in_one_text
from ops.web.ingest.health import Health
from ops.web.ingest.openapi import document
from ops.web.ingest.status import StatusDoor
from ops.web.live import Live
from ops.web.tracing import DoorSpans

MOST = 60
"""Bodies held at once: of 4 MiB each, 240 MB at worst."""


def ingest_routes(settings: Settings, live: Live, loaded: App) -> list[Route]:
    """Connects to nothing until something comes."""
    spans = DoorSpans(settings, live, "rabbitmq" if settings.broker_urls else "postgresql")
    desk = Desk(settings, live, spans.trace)
    access, crowd = Access(settings, desk), Crowd(MOST)
    events, status = EventsDoor(settings, desk, access), StatusDoor(desk, access)
    health = Health(settings, desk, access, loaded)
    posts = {
        "/events": crowd.around(events.cloud_events),
        "/e/{key}": in_one_text(crowd.around(events.plain)),
    }
    return [
        *(
            Route(path, spans.around(path, answer, trusting=True), methods=["POST"])
            for path, answer in posts.items()
        ),
        Route("/events/{id:path}", status.answer, methods=["GET"]),
        Route("/healthz", health.alive, methods=["GET"]),
        Route("/readyz", health.ready, methods=["GET"]),
        Route("/actors", health.actors, methods=["GET"]),
        Route("/openapi.json", document, methods=["GET"]),
    ]
