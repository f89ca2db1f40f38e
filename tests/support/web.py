"""A real HTTP server in the test's process, whose answers are functions of the test."""

import json
import ssl
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6
from threading import Event, Thread


@dataclass
class Request:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found


class Call(BaseHTTPRequestHandler):
    """One call being answered; handlers write with `answer`, or with the base class's own methods."""

    protocol_version = "HTTP/1.1"
    body: bytes = b""
    """Of the request."""
    server: "_Server"  # pyright: ignore[reportIncompatibleVariableOverride]

    def answer(self, status: int = 200, body: bytes | str = b"", **headers: str) -> None:
        """Send a whole answer; `content_type="…"` becomes the header Content-Type."""
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in {"content_length": str(len(data)), **headers}.items():
            # As UTF-8, which is what servers send; the base class writes Latin-1.
            self.send_header(name.replace("_", "-"), value.encode().decode("latin-1"))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def page(self, body: bytes | str = "<title>Here</title>") -> None:
        """Send an HTML page."""
        self.answer(200, body, content_type="text/html; charset=utf-8")

    def redirect(self, location: str, status: int = 302) -> None:
        """Send the caller elsewhere."""
        self.answer(status, location=location)

    def handle_any(self) -> None:
        length = int(self.headers.get("content-length", 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        web = self.server.web
        self.body = self.rfile.read(length)
        web.requests.append(Request(self.command, self.path, headers, self.body))
        handler = web.routes.get(self.path.partition("?")[0], web.otherwise)
        if handler is None:
            self.answer(404, "nothing here")
        else:
            handler(self)

    do_GET = do_POST = do_PUT = do_HEAD = handle_any  # noqa: N815 - the base class's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Keep the test output clean."""


@dataclass
class Web:
    """The server: set `routes`, read `requests`."""

    host: str
    port: int = 0
    scheme: str = "http"
    routes: dict[str, Callable[[Call], None]] = field(default_factory=dict)
    otherwise: Callable[[Call], None] | None = None
    """Answers for every path that has no route; 404 without."""
    requests: list[Request] = field(default_factory=list)
    closing: Event = field(default_factory=Event)
    """Set when the test is over: what a slow handler waits for."""

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def url(self, path: str = "/") -> str:
        return f"{self.scheme}://{self.authority}{path}"

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.requests]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    web: Web

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what half of these tests are about."""


class _Server6(_Server):
    address_family = AF_INET6


@contextmanager
def serving(host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Generator[Web]:
    """Serve on a free port until the block ends; raises OSError where the host cannot be bound."""
    server = (_Server6 if ":" in host else _Server)((host, 0), Call)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.web = web = Web(host, server.server_port, "https" if tls else "http")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        web.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
