"""What other services tell us by HTTP: their webhooks, and clocks that trigger schedules. All is kept before it is answered."""

from starlette.routing import Route

from broker import Settings
from ops.boot import App
from ops.web.hooks.cron import CronDoor
from ops.web.hooks.desk import Desk
from ops.web.hooks.webhooks import WebhookDoor
from ops.web.live import Live


def hook_routes(settings: Settings, live: Live, loaded: App) -> list[Route]:
    """Connects to nothing until something comes."""
    desk = Desk(settings, live)
    webhooks, cron = WebhookDoor(loaded.webhooks, desk), CronDoor(settings, loaded.schedules, desk)
    return [
        Route("/webhooks/{source}", webhooks.answer, methods=["POST"]),
        Route("/cron/{name}", cron.answer, methods=["POST"]),
    ]
