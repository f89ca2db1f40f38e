"""The application of `callboard web`: pages for people, doors for other programs, and how each is told what went wrong."""

from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from broker import ConfigurationError, Settings
from broker.errors import CallboardError, NotFoundError
from ops.boot import App
from ops.reach import UnreachableError
from ops.web.accounts import account_routes
from ops.web.acts import act_routes
from ops.web.answers import refused
from ops.web.body import BodyError
from ops.web.guard import Guard, NotAllowedError, SignInNeededError
from ops.web.hooks import hook_routes
from ops.web.ingest import ingest_routes
from ops.web.live import Live
from ops.web.metrics import metrics_routes
from ops.web.pages import WrongFilterError, page_routes
from ops.web.realtime import realtime_routes
from ops.web.rendering import ROOM, Renderer, moved

NOTHING = App()
LOCAL_NAMES = ["127.0.0.1", "localhost"]
"""A page of somebody else's that has its name point here must not read ours (DNS rebinding)."""
REFUSED = 409
"""What is not named here is about what was asked for, and stands in its way."""
_CODES: tuple[tuple[type[Exception], int], ...] = (
    (SignInNeededError, 401),
    (NotAllowedError, 403),
    (NotFoundError, 404),
    (WrongFilterError, 400),
    (UnreachableError, 503),
    (ConfigurationError, 503),
)


def make_app(settings: Settings, live: Live, *, only_local: bool, loaded: App = NOTHING) -> Starlette:
    """Connects to nothing until it is asked for a page."""
    guard, renderer = Guard(only_local=only_local), Renderer()
    faults = Faults(renderer)
    return Starlette(
        routes=[
            *act_routes(settings, guard),
            *page_routes(settings, live, guard, renderer),
            *account_routes(settings, guard, renderer),
            *hook_routes(settings, live, loaded),
            *ingest_routes(settings, live, loaded),
            *metrics_routes(settings, live),
            *realtime_routes(settings, live),
            Mount("/static", StaticFiles(directory=ROOM / "static")),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=LOCAL_NAMES if only_local else ["*"])],
        exception_handlers={404: faults.nowhere, CallboardError: faults.told},
    )


class Faults:
    """A page for a browser; for a program, what programs read."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    async def nowhere(self, request: Request, _error: Exception) -> Response:
        if not _is_browser(request):
            return refused(404, "unknown", "nothing answers at this address")
        return self._renderer.page("fault.html", {"problem": "There is no such page."}, 404)

    async def told(self, request: Request, error: Exception) -> Response:
        """Whoever has to sign in is sent there."""
        code = error.code if isinstance(error, BodyError) else _code_of(error)
        if code == 401 and not _is_browser(request):
            return refused(401, "session", "sign in at /sign-in")
        if code == 401 and request.method == "GET":
            query = f"?{request.url.query}" if request.url.query else ""
            return moved(f"/sign-in?{urlencode({'next': request.url.path + query})}")
        return self._renderer.page("fault.html", {"problem": str(error)}, code)


def _code_of(error: Exception) -> int:
    return next((code for kind, code in _CODES if isinstance(error, kind)), REFUSED)


def _is_browser(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")
