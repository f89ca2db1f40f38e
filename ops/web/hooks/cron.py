"""`POST /cron/{name}`: somebody else's clock triggers a schedule. It publishes the schedule's event, and performs nothing."""

from collections.abc import Sequence
from datetime import UTC, datetime

from psycopg import Connection
from starlette.requests import Request
from starlette.responses import Response

from broker import ConfigurationError, Schedule, Settings
from broker.errors import NotFoundError, SignatureError
from broker.schedules import control
from broker.webhooks.deliveries import once
from broker.webhooks.secrets import split
from broker.webhooks.signatures import check_standard, key_of
from ops.web.answers import answered, refused
from ops.web.bearer import bearer_needed, bears
from ops.web.body import BodyError, read_body
from ops.web.desk import Desk, unset
from ops.web.hooks.webhooks import MAX_ID, headers_of

MAX_BYTES = 64 * 1024
"""What is sent is signed and not read: a clock has little to say."""
SIGNED = "webhook-signature"


class CronDoor:
    """Answers for all schedules that are declared."""

    def __init__(self, settings: Settings, schedules: Sequence[Schedule], desk: Desk) -> None:
        self._secrets = split(settings.cron_secret)
        self._schedules = {schedule.name: schedule for schedule in schedules}
        self._desk = desk

    async def answer(self, request: Request) -> Response:
        """202 with the event's id once it is kept. The same `webhook-id` again is the same tick."""
        if not self._secrets:
            return unset("CALLBOARD_CRON_SECRET")
        try:
            body = await read_body(request, MAX_BYTES)
        except BodyError as error:
            return refused(error.code, error.type, str(error))
        if not self._allowed(request, body):
            return bearer_needed("a bearer token or a signature is needed")
        schedule = self._schedules.get(request.path_params["name"])
        if schedule is None:
            return refused(404, "unknown", "no schedule of this name is declared here")
        id = request.headers["webhook-id"] if SIGNED in request.headers else ""
        if len(id.encode()) > MAX_ID or not id.isprintable():
            return refused(400, "invalid", f"webhook-id: at most {MAX_ID} bytes of printable text")
        return await self._triggered(schedule, id)

    async def _triggered(self, schedule: Schedule, id: str) -> Response:
        def trigger(connection: Connection) -> str:
            def tick() -> str:
                return control.trigger(connection, self._desk.publisher, schedule)

            kind = schedule.kind.event_type
            return once(connection, f"cron/{schedule.name}", id, kind, tick) if id else tick()

        try:
            kept = await self._desk.keep(trigger)
        except NotFoundError as error:
            return refused(404, "unknown", str(error))
        except ConfigurationError as error:
            return refused(409, "cannot", str(error))
        return kept if isinstance(kept, Response) else answered(202, {"id": kept})

    def _allowed(self, request: Request, body: bytes) -> bool:
        """By a signature where there is one, else by the secret itself."""
        if SIGNED in request.headers:
            return _signed(request, body, self._secrets)
        return bears(request, self._secrets)


def _signed(request: Request, body: bytes, secrets: Sequence[str]) -> bool:
    keys = [key_of(secret) for secret in secrets if secret.startswith("whsec_")]
    try:
        check_standard(keys, headers_of(request), body, datetime.now(UTC))
    except SignatureError:
        return False
    return True
