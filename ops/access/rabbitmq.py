"""Who may do what in RabbitMQ, over its management API.

worker     declares, writes and reads what is the house's: its exchanges, its actors' queues; and wakes runs up, which it
           sends straight to a queue
publisher  writes to the exchange of events, with the routing keys of its own types; declares and reads nothing

Whoever may send straight to queues reaches all of them in the virtual host: give Callboard one of its own.
"""

import re
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, unquote, urlsplit

import httpx

from broker.errors import ConfigurationError, TransportUnavailableError
from broker.topology import DEFAULT_NAMESPACE, Topology
from broker.transports.rabbitmq.encryption import encryption, explained

Role = Literal["worker", "publisher"]
NOTHING = "^$"
STRAIGHT = "amq.default"
"""What permissions call the exchange without a name, which leads to each queue by its name. Wake-ups go that way: without it
no retry, sleep or postponed run would ever go on."""
TIMEOUT_SECONDS = 10.0
NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Rights:
    """Regular expressions of RabbitMQ: names of exchanges and queues; `topics` are routing keys on the exchange of events, None
    where any may be used."""

    configure: str
    write: str
    read: str
    topics: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """A user as RabbitMQ has it."""

    name: str
    tags: Sequence[str] = ()
    rights: Rights | None = None
    """In the virtual host at hand."""


def rights_of(role: Role, topology: Topology, types: Iterable[str] = ()) -> Rights:
    """What a role needs. `types` are event types, where `*` is any text."""
    if role == "publisher":
        topics = "|".join(re.escape(each).replace(r"\*", ".*") for each in sorted(set(types)))
        return Rights(NOTHING, f"^{re.escape(topology.events)}$", NOTHING, f"^({topics})$")
    rooms = {topology.namespace}
    if topology.namespace == DEFAULT_NAMESPACE:
        rooms |= {queue.partition(".")[0] for queue in topology.queues}
    ours = rf"({'|'.join(re.escape(room) for room in sorted(rooms))})\..*"
    return Rights(f"^{ours}$", f"^({ours}|{re.escape(STRAIGHT)})$", f"^{ours}$")


def may(pattern: str, name: str) -> bool:
    """RabbitMQ's patterns are searched for; the empty one fits nothing. One that cannot be read is taken to fit."""
    try:
        return bool(pattern) and re.search(pattern, name) is not None
    except re.error:
        return True


def lacking(rights: Rights | None, topology: Topology) -> list[str]:
    """What of a worker's part these rights do not cover, in words; empty for one that may work."""
    exchanges = (topology.events, topology.alternate_exchange, topology.dead_letter_exchange)
    names = (*exchanges, *topology.house_queues, *topology.queues)
    given = rights or Rights("", "", "")
    wanted = (
        ("declare", given.configure, names),
        ("write to", given.write, (*names, STRAIGHT)),
        ("read from", given.read, names),
    )
    return [f"{verb} {name}" for verb, pattern, things in wanted for name in things if not may(pattern, name)]


@dataclass(slots=True)
class Management:
    """RabbitMQ's management API, for one virtual host."""

    http: httpx.Client
    vhost: str

    def accounts(self, exchange: str) -> list[Account]:
        """Everybody, with the rights to this exchange."""
        return [self.account(user["name"], exchange) for user in self._get("users")]

    def account(self, name: str, exchange: str) -> Account:
        """Raises KeyError for a user that there is not."""
        user = self._find(f"users/{_path(name)}")
        if user is None:
            raise KeyError(name)
        given = self._find(f"permissions/{_path(self.vhost)}/{_path(name)}")
        topics = self._find(f"topic-permissions/{_path(self.vhost)}/{_path(name)}") or []
        rows = topics if isinstance(topics, list) else [topics]
        keys = next((row["write"] for row in rows if row["exchange"] == exchange), None)
        tags = user["tags"] if isinstance(user["tags"], list) else str(user["tags"]).split(",")
        rights = Rights(given["configure"], given["write"], given["read"], keys) if given else None
        return Account(name, [tag for tag in tags if tag], rights)

    def set_password(self, name: str, password: str, tags: Sequence[str] = ()) -> None:
        """Makes the user if there is none."""
        self._put(f"users/{_path(name)}", {"password": password, "tags": ",".join(tags)})

    def grant(self, name: str, rights: Rights, exchange: str) -> None:
        """These, and no others in this virtual host."""
        place = f"{_path(self.vhost)}/{_path(name)}"
        self._put(
            f"permissions/{place}",
            {"configure": rights.configure, "write": rights.write, "read": rights.read},
        )
        if rights.topics is None:
            self._answer("DELETE", f"topic-permissions/{place}", missing=True)
        else:
            self._put(
                f"topic-permissions/{place}", {"exchange": exchange, "write": rights.topics, "read": NOTHING}
            )

    def _get(self, path: str) -> Any:
        return self._answer("GET", path).json()

    def _find(self, path: str) -> Any:
        answer = self._answer("GET", path, missing=True)
        return None if answer.status_code == NOT_FOUND else answer.json()

    def _put(self, path: str, body: dict[str, str]) -> None:
        self._answer("PUT", path, body)

    def _answer(
        self, method: str, path: str, body: dict[str, str] | None = None, *, missing: bool = False
    ) -> httpx.Response:
        try:
            answer = self.http.request(method, f"/api/{path}", json=body)
        except httpx.HTTPError as error:
            told = explained(str(error)) if "SSL" in str(error) else type(error).__name__
            raise TransportUnavailableError(f"{self.http.base_url} does not answer: {told}") from None
        if answer.status_code in (401, 403):
            raise ConfigurationError(
                f"{self.http.base_url} does not let us: name a user with the tag administrator in CALLBOARD_RABBITMQ_API"
            )
        if answer.is_error and not (missing and answer.status_code == NOT_FOUND):
            raise TransportUnavailableError(
                f"{self.http.base_url} answered {answer.status_code} to {method} /api/{path}"
            )
        return answer


@contextmanager
def managed(api: str, vhost: str) -> Generator[Management]:
    """`api` is an address with a name and a password: `http://admin:secret@127.0.0.1:15672`, or `https://…`, with the parameters
    of an `amqps://` address. Raises ConfigurationError."""
    parts = urlsplit(api)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            "CALLBOARD_RABBITMQ_API reads http://administrator:password@host:15672, the address of the management plugin"
        )
    with httpx.Client(
        base_url=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
        auth=(unquote(parts.username or ""), unquote(parts.password or "")),
        timeout=TIMEOUT_SECONDS,
        verify=encryption(api) or True,
    ) as http:
        yield Management(http, vhost)


def vhost_of(url: str) -> str:
    """Of an AMQP address."""
    return unquote(urlsplit(url).path[1:]) or "/"


def _path(text: str) -> str:
    return quote(text, safe="")
