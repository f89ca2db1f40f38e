"""What an operator does from a page: cancel a run, run it again, let what is paused go on."""

from collections.abc import Callable
from uuid import UUID

from psycopg import Connection, errors
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from broker import Settings
from broker.cancel import cancel
from broker.cancel_sweep import spread
from broker.errors import NotFoundError
from broker.pause import Kind, resume
from broker.reopen import Again, rerun
from broker.topology import topology
from ops.cli.session import connected
from ops.web.forms import form_of
from ops.web.guard import Guard, NotAllowedError, Visitor
from ops.web.rendering import moved

Act = Callable[[Connection, Visitor], object]


def act_routes(settings: Settings, guard: Guard) -> list[Route]:
    acts = Acts(settings, guard)
    return [
        Route("/runs/{id:uuid}/cancel", acts.cancel, methods=["POST"]),
        Route("/runs/{id:uuid}/again", acts.again, methods=["POST"]),
        Route("/resume", acts.resume, methods=["POST"]),
    ]


class Acts:
    """Each may be repeated: what is over is left alone. Noted in the audit under the visitor's name."""

    def __init__(self, settings: Settings, guard: Guard) -> None:
        self._settings = settings
        self._guard = guard

    def cancel(self, request: Request) -> Response:
        id: UUID = request.path_params["id"]

        def act(connection: Connection, visitor: Visitor) -> None:
            house = topology(self._settings.namespace, {})
            [verdict] = cancel(connection, house, [id], visitor.name)
            if verdict.was is None:
                raise NotFoundError(f"No run has the id {id}.")
            while spread(connection, house):
                pass

        self._act(request, act)
        return moved(f"/runs/{id}")

    def again(self, request: Request) -> Response:
        id: UUID = request.path_params["id"]
        self._act(request, lambda connection, visitor: rerun(connection, id, Again(visitor.name)))
        return moved(f"/runs/{id}")

    async def resume(self, request: Request) -> Response:
        form = await form_of(request)
        name = form.get("name", "").replace("\0", "")
        kind: Kind = "pipeline" if form.get("kind") == "pipeline" else "actor"
        await run_in_threadpool(
            self._act, request, lambda connection, visitor: resume(connection, kind, name, visitor.name)
        )
        return moved("/")

    def _act(self, request: Request, act: Act) -> None:
        with connected(self._settings) as connection:
            visitor = self._guard.admit(connection, request, "operator")
            try:
                act(connection, visitor)
            except errors.InsufficientPrivilege:
                raise NotAllowedError(
                    "This process may only read: let operators act by giving `callboard web` a login that is made with "
                    "`callboard setup postgres LOGIN --as worker`."
                ) from None
