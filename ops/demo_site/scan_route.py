"""How an application's web asks for a scan: `POST /projects/{id}/scan` with `{"url": …}`.

401 nobody is signed in; 422 no address; 500 it could not be queued; 202 it is queued.
"""

from collections.abc import Callable
from json import JSONDecodeError

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from actors.pages.ask import NO_ADDRESS, ask_for_scan
from broker import Publisher
from broker.database import Database

Whose = Callable[[Request], str | None]
"""The user of a request's session; None without one. Sessions are the application's."""


def scan_route(database: Database, publisher: Publisher, whose: Whose) -> Route:
    async def ask(request: Request) -> JSONResponse:
        user_id = whose(request)
        if user_id is None:
            return JSONResponse({"error": "sign in first"}, 401)
        url = await _url_of(request)
        project_id = request.path_params["id"]
        asked = await run_in_threadpool(ask_for_scan, database, publisher, project_id, user_id, url)
        if not asked.success:
            return JSONResponse({"error": asked.error}, 422 if asked.error == NO_ADDRESS else 500)
        return JSONResponse({"message": "Scan queued", "page_id": str(asked.page_id)}, 202)

    return Route("/projects/{id:uuid}/scan", ask, methods=["POST"])


async def _url_of(request: Request) -> str:
    """Empty for a body that has none."""
    try:
        body = await request.json()
    except (JSONDecodeError, UnicodeDecodeError):
        return ""
    return str(body.get("url", "")) if isinstance(body, dict) else ""
