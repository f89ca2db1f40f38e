"""Serving the demo site on a free port of this machine."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

PAGES = Path(__file__).parent / "pages"
NAMES = ("index.html", "season.html", "box-office.html", "backstage.html")


class DemoSite:
    """The site, from entering the context to leaving it; nobody outside this machine can reach it."""

    def __init__(self, port: int = 0) -> None:
        """Port 0 takes any free one."""
        self._server = _Server(("127.0.0.1", port), partial(_Handler, directory=str(PAGES)))
        self._thread = Thread(target=self._server.serve_forever, name="demo-site", daemon=True)

    @property
    def host(self) -> str:
        """Host and port, as a fetcher's list of allowed hosts wants them."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """The home page, with a slash at the end."""
        return f"http://{self.host}/"

    @property
    def urls(self) -> list[str]:
        """All pages."""
        return [self.url + name for name in NAMES]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64  # a batch scan opens many connections at once; the default of 5 drops some


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name for it
        """Say nothing: a demo's terminal belongs to the events."""
