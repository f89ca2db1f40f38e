"""`GET /realtime/{channel}`: what runs broadcast, as server-sent events, for whoever has a token."""

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from broker import ConfigurationError, Settings
from broker.errors import TokenError
from broker.realtime.tokens import Pass, read_token, secrets_of
from ops.web.answers import refused
from ops.web.live import Live
from ops.web.realtime.hub import FullError, Hub
from ops.web.realtime.stream import EVERYWHERE, EventStream

CODES = {"missing": 401, "invalid": 401, "expired": 401, "channel": 403}


def realtime_routes(settings: Settings, live: Live) -> list[Route]:
    """Connects to nothing until somebody listens."""
    return [Route("/realtime/{channel:path}", Realtime(settings, live).listen, methods=["GET"])]


class Realtime:
    """One hub for all who listen to this process."""

    def __init__(self, settings: Settings, live: Live) -> None:
        self._settings = settings
        self._hub = Hub(settings, live)

    async def listen(self, request: Request) -> Response:
        """A stream that ends with its token."""
        channel, last = request.path_params["channel"], _last(request)
        try:
            allowed = _allowed(self._settings, request, channel)
        except ConfigurationError as error:
            return refused(503, "not_configured", str(error))
        except TokenError as error:
            return refused(CODES[error.reason], f"token_{error.reason}", str(error), **EVERYWHERE)
        if not last.isdecimal() or len(last) > 18:
            return refused(
                400, "last_event_id", "Last-Event-ID is a number that this stream has given", **EVERYWHERE
            )
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        try:
            listener = await self._hub.join(channel)
        except FullError as error:
            return refused(503, "full", str(error), retry_after="5", **EVERYWHERE)
        return EventStream(self._hub, listener, int(last) if _resumes(request) else None, allowed.expires_at)


def _allowed(settings: Settings, request: Request, channel: str) -> Pass:
    """Raises TokenError, and ConfigurationError where nobody has said a secret. EventSource knows no headers, so the token may
    stand in the address."""
    word, _, bearer = request.headers.get("authorization", "").partition(" ")
    token = bearer.strip() if word.lower() == "bearer" else request.query_params.get("token", "")
    found = read_token(token, secrets_of(settings), datetime.now(UTC))
    if channel not in found.channels:
        raise TokenError("channel", "this token is for other channels")
    return found


def _resumes(request: Request) -> bool:
    return bool(request.headers.get("last-event-id") or request.query_params.get("last_event_id"))


def _last(request: Request) -> str:
    """The header of an EventSource that comes back, or the same in the address, for who begins anew."""
    return request.headers.get("last-event-id") or request.query_params.get("last_event_id") or "0"
