"""Serving the page from a thread of whichever process wants it: `callboard web`, `callboard dev`, `./ops/run`."""

import contextlib
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

import uvicorn

from broker import Settings
from broker.errors import CallboardError
from ops.boot import App
from ops.web.app import NOTHING, make_app
from ops.web.live import Live

HOST = "127.0.0.1"
PORT = 8094
"""Preferred, so that an open tab finds the page again; any other if it is taken and none was asked for."""
STOP_LIMIT = timedelta(seconds=3)


@contextmanager
def serving(
    settings: Settings,
    *,
    host: str = HOST,
    port: int | None = None,
    listener: socket.socket | None = None,
    loaded: App = NOTHING,
) -> Generator[str]:
    """The page's address, for as long as it is open: on a socket that listens already, or on one of its own. Raises
    CallboardError for a port that was asked for and is taken."""
    with listener or listening(host, port) as listener:
        # asyncio sets it only where the protocol's number is said, and `create_server` does not say it: every answer that is
        # written in two parts then waits 40 ms for the other side's delayed ACK. Connections take it over from here.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        live = Live()
        app = make_app(settings, live, only_local=is_loopback(host), loaded=loaded)
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", server_header=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="status-page", daemon=True
        )
        thread.start()
        try:
            yield address_of(listener, host)
        finally:
            live.end()
            server.should_exit = True
            thread.join(STOP_LIMIT.total_seconds())


def address_of(listener: socket.socket, host: str = HOST) -> str:
    """With a slash at the end."""
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}/"


def listening(host: str, port: int | None) -> socket.socket:
    """None takes the preferred port, or any. Raises CallboardError for a port that was asked for and is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if port is None:
        with contextlib.suppress(OSError):
            return socket.create_server((host, PORT), family=family)
    try:
        return socket.create_server((host, port or 0), family=family)
    except OSError as error:
        raise CallboardError(
            f"the status page cannot listen on {host} port {port}: {error.strerror}; choose another with --port"
        ) from error


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    return host in ("localhost", "::1") or host.startswith("127.")
