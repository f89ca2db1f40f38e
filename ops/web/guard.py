"""Who is asking, and whether they may: a session's cookie, and for posts the page's own origin beside it."""

import getpass
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from psycopg import Connection
from starlette.requests import Request

from broker import people
from broker.errors import CallboardError
from broker.people import ROLES, Role

COOKIE: Final = "callboard_session"


class SignInNeededError(CallboardError):
    """Nobody has signed in here, or no longer."""

    def __init__(self) -> None:
        super().__init__("Sign in to see this.")


class NotAllowedError(CallboardError):
    """Whoever asks may not do this."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks. `signed_in` is False where the page is open to everybody on this machine."""

    name: str
    role: Role
    signed_in: bool = True

    def may(self, needed: Role) -> bool:
        return ROLES.index(self.role) >= ROLES.index(needed)


class Guard:
    """`only_local` says that none but this machine reaches the page: it is open until there is a person."""

    def __init__(self, *, only_local: bool) -> None:
        self._only_local = only_local

    def admit(self, connection: Connection, request: Request, needed: Role = "viewer") -> Visitor:
        """Raises SignInNeededError, and NotAllowedError for a role that does not do, or a post from another page."""
        visitor = self._visitor(connection, request)
        if not visitor.may(needed):
            article = "an" if needed[0] in "ao" else "a"
            raise NotAllowedError(f"This takes {article} {needed}; {visitor.name} is {visitor.role}.")
        if request.method == "POST":
            refuse_strange_posts(request)
        return visitor

    def is_open(self, connection: Connection) -> bool:
        """Whether nobody needs to sign in."""
        return self._only_local and not people.anybody(connection)

    def _visitor(self, connection: Connection, request: Request) -> Visitor:
        token = request.cookies.get(COOKIE, "")
        if token and (person := people.find(connection, token)) is not None:
            return Visitor(person.name, person.role)
        if self.is_open(connection):
            return Visitor(getpass.getuser(), "admin", signed_in=False)
        raise SignInNeededError


def refuse_strange_posts(request: Request) -> None:
    """Every browser names the origin of a post. A proxy may have taken off the encryption, so the scheme is not compared."""
    if urlsplit(request.headers.get("origin", "")).netloc != request.headers.get("host"):
        raise NotAllowedError("This was sent from another page.")
