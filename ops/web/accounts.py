"""Signing in and out, one's own password, and the page on which admins add and remove people."""

from collections.abc import Callable, Mapping
from typing import Any

from psycopg import Connection
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from broker import Settings, people
from broker.errors import CallboardError
from broker.people import LEAST_CHARACTERS, ROLES, TooManyTriesError, WrongPasswordError
from ops.cli.session import connected
from ops.web.forms import form_of
from ops.web.guard import COOKIE, Guard, Visitor, refuse_strange_posts
from ops.web.rendering import Renderer, moved

Form = Mapping[str, str]
Act = Callable[[Connection, Visitor, Form], None]


def account_routes(settings: Settings, guard: Guard, renderer: Renderer) -> list[Route]:
    desk = Accounts(settings, guard, renderer)
    return [
        Route("/sign-in", desk.ask, methods=["GET"]),
        Route("/sign-in", desk.sign_in, methods=["POST"]),
        Route("/sign-out", desk.sign_out, methods=["POST"]),
        Route("/account", desk.account, methods=["GET"]),
        Route("/account", desk.change_password, methods=["POST"]),
        Route("/people", desk.people, methods=["GET"]),
        Route("/people", desk.change_people, methods=["POST"]),
    ]


class Accounts:
    """One connection a request."""

    def __init__(self, settings: Settings, guard: Guard, renderer: Renderer) -> None:
        self._settings = settings
        self._guard = guard
        self._renderer = renderer

    def ask(self, request: Request) -> Response:
        with connected(self._settings) as connection:
            if self._guard.is_open(connection):
                return moved("/")
            someone = people.anybody(connection)
        return self._asked(place_of(request.query_params.get("next")), someone=someone)

    async def sign_in(self, request: Request) -> Response:
        refuse_strange_posts(request)
        return await run_in_threadpool(self._sign_in, request, await form_of(request))

    def _sign_in(self, request: Request, form: Form) -> Response:
        name, place, lasts = form.get("name", ""), place_of(form.get("next")), self._settings.sign_in_time
        try:
            with connected(self._settings) as connection:
                token = people.sign_in(connection, _text(name), form.get("password", ""), lasts)
        except WrongPasswordError as error:
            return self._asked(place, str(error), 401, name)
        except TooManyTriesError as error:
            answer = self._asked(place, str(error), 429, name)
            answer.headers["retry-after"] = str(max(1, round(error.wait.total_seconds())))
            return answer
        answer = moved(place)
        answer.set_cookie(
            COOKIE,
            token,
            max_age=int(lasts.total_seconds()),
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return answer

    def _asked(
        self, place: str, problem: str = "", code: int = 200, name: str = "", *, someone: bool = True
    ) -> Response:
        values = {"place": place, "problem": problem, "name": name, "someone": someone}
        return self._renderer.page("sign_in.html", values, code)

    def sign_out(self, request: Request) -> Response:
        refuse_strange_posts(request)
        with connected(self._settings) as connection:
            people.sign_out(connection, request.cookies.get(COOKIE, ""))
        answer = moved("/sign-in")
        answer.delete_cookie(COOKIE)
        return answer

    def account(self, request: Request) -> Response:
        with connected(self._settings) as connection:
            return self._account(self._guard.admit(connection, request))

    async def change_password(self, request: Request) -> Response:
        return await run_in_threadpool(self._change_password, request, await form_of(request))

    def _change_password(self, request: Request, form: Form) -> Response:
        with connected(self._settings) as connection:
            visitor = self._guard.admit(connection, request)
            try:
                # It ends all sessions, this one too: whoever has it signs in anew.
                people.change_password(
                    connection, visitor.name, form.get("password", ""), form.get("new", "")
                )
            except CallboardError as error:
                return self._account(visitor, str(error), 400)
        return moved("/sign-in")

    def _account(self, visitor: Visitor, problem: str = "", code: int = 200) -> Response:
        values = {"visitor": visitor, "problem": problem, "least": LEAST_CHARACTERS}
        return self._renderer.page("account.html", values, code)

    def people(self, request: Request) -> Response:
        with connected(self._settings) as connection:
            return self._people(connection, self._guard.admit(connection, request, "admin"))

    async def change_people(self, request: Request) -> Response:
        return await run_in_threadpool(self._change_people, request, await form_of(request))

    def _change_people(self, request: Request, form: Form) -> Response:
        with connected(self._settings) as connection:
            visitor = self._guard.admit(connection, request, "admin")
            try:
                _ACTS.get(form.get("act", ""), _nothing)(connection, visitor, form)
            except CallboardError as error:
                return self._people(connection, visitor, str(error), 400)
        return moved("/people")

    def _people(
        self, connection: Connection, visitor: Visitor, problem: str = "", code: int = 200
    ) -> Response:
        values: dict[str, Any] = {
            "visitor": visitor, "people": people.list_people(connection), "roles": ROLES,
            "problem": problem, "least": LEAST_CHARACTERS,
        }  # fmt: skip
        return self._renderer.page("people.html", values, code)


def place_of(given: str | None) -> str:
    """Where to go after signing in: a path here, never another host."""
    there = given or "/"
    return there if there.startswith("/") and there[1:2] not in ("/", "\\") and there.isprintable() else "/"


def _add(connection: Connection, visitor: Visitor, form: Form) -> None:
    people.add(connection, _text(form.get("name", "")), _role(form), form.get("password", ""), visitor.name)


def _give_role(connection: Connection, visitor: Visitor, form: Form) -> None:
    people.set_role(connection, _text(form.get("name", "")), _role(form), visitor.name)


def _remove(connection: Connection, visitor: Visitor, form: Form) -> None:
    people.remove(connection, _text(form.get("name", "")), visitor.name)


def _nothing(_connection: Connection, _visitor: Visitor, _form: Form) -> None:
    raise CallboardError("This form is not one of ours.")


_ACTS: Mapping[str, Act] = {"add": _add, "role": _give_role, "remove": _remove}


def _role(form: Form) -> people.Role:
    for role in ROLES:
        if role == form.get("role"):
            return role
    raise CallboardError(f"A role is one of {', '.join(ROLES)}.")


def _text(name: str) -> str:
    """PostgreSQL keeps no NUL; nobody's name has one."""
    return name.replace("\0", "�")
