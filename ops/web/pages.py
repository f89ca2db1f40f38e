"""The pages: a list of runs, a chain, and the same as streams that tell when they have changed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode
from uuid import UUID

import psycopg
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from broker import Settings
from broker.chains import now, stories
from broker.errors import CallboardError, NotFoundError
from broker.history import STATUSES, RunRow, chain, list_runs, runs_of
from broker.pause import paused
from ops.boot import App
from ops.cli.runs import note_of
from ops.cli.screen import clock, took
from ops.cli.session import connected
from ops.web.answers import refused
from ops.web.chart import draw
from ops.web.hooks import hook_routes
from ops.web.ingest import ingest_routes
from ops.web.live import Live
from ops.web.metrics import metrics_routes
from ops.web.realtime import realtime_routes

NOTHING = App()
ROOM = Path(__file__).parent
PAGE = 50
"""Runs a page."""
LOOK = timedelta(seconds=0.5)
"""How often a stream looks whether its page has changed."""
LOCAL_NAMES = ["127.0.0.1", "localhost"]
"""A page of somebody else's that has its name point here must not read ours (DNS rebinding)."""
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}

Render = Callable[[], str]


class WrongFilterError(CallboardError):
    """What was asked for in the address cannot be."""


def make_app(settings: Settings, live: Live, *, only_local: bool, loaded: App = NOTHING) -> Starlette:
    """Connects to nothing until it is asked for a page."""
    pages = Pages(settings, live)
    return Starlette(
        routes=[
            Route("/", pages.runs),
            Route("/live", pages.runs_live),
            Route("/runs/{reference}", pages.chain),
            Route("/runs/{reference}/live", pages.chain_live),
            *hook_routes(settings, live, loaded),
            *ingest_routes(settings, live, loaded),
            *metrics_routes(settings, live),
            *realtime_routes(settings, live),
            Mount("/static", StaticFiles(directory=ROOM / "static")),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=LOCAL_NAMES if only_local else ["*"])],
        exception_handlers={404: pages.nowhere, CallboardError: pages.failed},
    )


class Pages:
    """Each page is rendered whole or, for a stream, without its frame. One connection a look."""

    def __init__(self, settings: Settings, live: Live) -> None:
        self._settings = settings
        self._live = live
        self._templates = Jinja2Templates(directory=ROOM / "templates")
        self._templates.env.filters.update(took=took, clock=clock, note=note_of)
        self._templates.env.trim_blocks = self._templates.env.lstrip_blocks = True

    def runs(self, request: Request) -> Response:
        return self._page("runs.html", self._list(request))

    async def runs_live(self, request: Request) -> Response:
        return self._stream(lambda: self._render("_runs.html", self._list(request)))

    def chain(self, request: Request) -> Response:
        return self._page("chain.html", self._chain(request))

    async def chain_live(self, request: Request) -> Response:
        return self._stream(lambda: self._render("_chain.html", self._chain(request)))

    async def nowhere(self, request: Request, _error: Exception) -> Response:
        """A page for a browser; for a program, what programs read."""
        if "text/html" not in request.headers.get("accept", ""):
            return refused(404, "unknown", "nothing answers at this address")
        return self._page("fault.html", {"problem": "There is no such page."}, 404)

    async def failed(self, _request: Request, error: Exception) -> Response:
        codes: dict[type[Exception], int] = {NotFoundError: 404, WrongFilterError: 400}
        return self._page("fault.html", {"problem": str(error)}, codes.get(type(error), 503))

    def _list(self, request: Request) -> dict[str, object]:
        asked = request.query_params
        status, actor, before = asked.get("status") or None, asked.get("actor", "").strip() or None, None
        if status is not None and status not in STATUSES:
            raise WrongFilterError(f"no status is named {status!r}: there are {', '.join(STATUSES)}")
        try:
            before = UUID(asked["before"]) if asked.get("before") else None
        except ValueError:
            raise WrongFilterError("`before` is the id of a run") from None
        if actor is not None and "\0" in actor:
            raise WrongFilterError("no actor has NUL in its name")
        with connected(self._settings) as connection:
            held = paused(connection)
            found = list_runs(connection, status=status, actor=actor, before=before, limit=PAGE + 1)
        filters = urlencode({name: value for name, value in asked.items() if name != "before"})
        return {
            "runs": found[:PAGE],
            "paused": held,
            "older": found[PAGE - 1].id if len(found) > PAGE else None,
            "status": status, "actor": actor, "before": before, "filters": filters,
            "statuses": STATUSES,
        }  # fmt: skip

    def _chain(self, request: Request) -> dict[str, object]:
        reference = request.path_params["reference"]
        with connected(self._settings) as connection:
            found = runs_of(connection, reference) if "\0" not in reference else []
            if not found:
                raise NotFoundError(f"No run and no run's event has the id {reference}.")
            told = stories(connection, chain(connection, found[0].correlation_id))
            moment = now(connection)
        asked = {run.id for run in found}
        first = told[0].run
        return {
            "chart": draw(told, asked, moment),
            "first": first,
            "reference": reference,
            "backend": self._backend(first),
        }

    def _backend(self, run: RunRow) -> str:
        """Where the tracing backend shows it; nothing where nobody has said one."""
        address = self._settings.trace_url
        if run.trace_id is None or not address.startswith(("https://", "http://")):
            return ""
        return address.replace("{trace_id}", run.trace_id)

    def _render(self, template: str, values: Mapping[str, object]) -> str:
        return self._templates.get_template(template).render(values)

    def _page(self, template: str, values: Mapping[str, object], code: int = 200) -> Response:
        return Response(self._render(template, values), code, HEADERS, "text/html")

    def _stream(self, render: Render) -> Response:
        return StreamingResponse(self._changes(render), headers=HEADERS, media_type="text/event-stream")

    async def _changes(self, render: Render) -> AsyncIterator[str]:
        """The page, and again whenever it has changed. A silent comment between finds out that nobody listens any more."""
        last = ""
        while not self._live.over:
            try:
                page = await run_in_threadpool(render)
            except (CallboardError, psycopg.Error) as error:
                problem = str(error) if isinstance(error, CallboardError) else ""
                page = self._render("_fault.html", {"problem": problem})
            yield _message(page) if page != last else ":\n\n"
            last = page
            await asyncio.sleep(LOOK.total_seconds())


def _message(text: str) -> str:
    return "".join(f"data: {line}\n" for line in text.splitlines()) + "\n"
