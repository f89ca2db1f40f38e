"""The pages: a list of runs, a chain, and the same as streams that tell when they have changed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from urllib.parse import urlencode
from uuid import UUID

import psycopg
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from broker import Settings
from broker.chains import now, stories
from broker.errors import CallboardError, NotFoundError
from broker.history import STATUSES, RunRow, chain, list_runs, runs_of
from broker.pause import paused
from ops.cli.session import connected
from ops.web.chart import draw
from ops.web.guard import Guard
from ops.web.live import Live
from ops.web.rendering import HEADERS, Renderer

PAGE = 50
"""Runs a page."""
LOOK = timedelta(seconds=0.5)
"""How often a stream looks whether its page has changed."""
Render = Callable[[], str]


class WrongFilterError(CallboardError):
    """What was asked for in the address cannot be."""


def page_routes(settings: Settings, live: Live, guard: Guard, renderer: Renderer) -> list[Route]:
    pages = Pages(settings, live, guard, renderer)
    return [
        Route("/", pages.runs),
        Route("/live", pages.runs_live),
        Route("/runs/{reference}", pages.chain),
        Route("/runs/{reference}/live", pages.chain_live),
    ]


class Pages:
    """Each page is rendered whole or, for a stream, without its frame. One connection a look."""

    def __init__(self, settings: Settings, live: Live, guard: Guard, renderer: Renderer) -> None:
        self._settings = settings
        self._live = live
        self._guard = guard
        self._renderer = renderer

    def runs(self, request: Request) -> Response:
        return self._renderer.page("runs.html", self._list(request))

    async def runs_live(self, request: Request) -> Response:
        return self._stream(lambda: self._renderer.render("_runs.html", self._list(request)))

    def chain(self, request: Request) -> Response:
        return self._renderer.page("chain.html", self._chain(request))

    async def chain_live(self, request: Request) -> Response:
        return self._stream(lambda: self._renderer.render("_chain.html", self._chain(request)))

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
            visitor = self._guard.admit(connection, request)
            held = paused(connection)
            found = list_runs(connection, status=status, actor=actor, before=before, limit=PAGE + 1)
        filters = urlencode({name: value for name, value in asked.items() if name != "before"})
        return {
            "visitor": visitor,
            "runs": found[:PAGE],
            "paused": held,
            "older": found[PAGE - 1].id if len(found) > PAGE else None,
            "status": status, "actor": actor, "before": before, "filters": filters,
            "statuses": STATUSES,
        }  # fmt: skip

    def _chain(self, request: Request) -> dict[str, object]:
        reference = request.path_params["reference"]
        with connected(self._settings) as connection:
            visitor = self._guard.admit(connection, request)
            found = runs_of(connection, reference) if "\0" not in reference else []
            if not found:
                raise NotFoundError(f"No run and no run's event has the id {reference}.")
            told = stories(connection, chain(connection, found[0].correlation_id))
            moment = now(connection)
        asked = {run.id for run in found}
        first = told[0].run
        return {
            "visitor": visitor,
            "asked": found[0] if len(found) == 1 else None,
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
                page = self._renderer.render("_fault.html", {"problem": problem})
            yield _message(page) if page != last else ":\n\n"
            last = page
            await asyncio.sleep(LOOK.total_seconds())


def _message(text: str) -> str:
    return "".join(f"data: {line}\n" for line in text.splitlines()) + "\n"
