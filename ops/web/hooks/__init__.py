"""What other services tell us by HTTP: their webhooks, and clocks that trigger schedules. All is kept before it is answered."""

from starlette.routing import Route

from broker import Settings
from ops.boot import App
from ops.web.crowd import Crowd
from ops.web.desk import Desk
from ops.web.hooks.cron import CronDoor
from ops.web.hooks.webhooks import WebhookDoor
from ops.web.live import Live
from ops.web.tracing import DoorSpans


def hook_routes(settings: Settings, live: Live, loaded: App) -> list[Route]:
    """Connects to nothing until something comes."""
    spans = DoorSpans(settings, live, "rabbitmq" if settings.broker_urls else "postgresql")
    desk = Desk(settings, live, spans.trace)
    webhooks, cron = WebhookDoor(loaded.webhooks, desk), CronDoor(settings, loaded.schedules, desk)
    doors = {"/webhooks/{source}": webhooks.answer, "/cron/{name}": cron.answer}
    crowd = Crowd()
    return [
        Route(path, spans.around(path, crowd.around(answer)), methods=["POST"])
        for path, answer in doors.items()
    ]
