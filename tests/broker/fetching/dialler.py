"""What the tests of the fetcher share: fetchers for servers of this machine, and a network to fake."""

from collections.abc import Iterable
from datetime import timedelta

import httpcore

from broker.fetching.fetcher import FetchLimits, HttpFetcher
from tests.support.web import Web


def fetcher_for(*webs: Web, **limits: int | timedelta) -> HttpFetcher:
    """A fetcher that may reach these servers on the loopback address."""
    return HttpFetcher(
        allowed_hosts=frozenset(web.authority for web in webs),
        limits=FetchLimits(**{"time": timedelta(seconds=10), **limits}),  # type: ignore[arg-type]
    )


HTML = "text/html"


class Dialler(httpcore.SyncBackend):
    """Connects to one test server whatever address it is given, and remembers the addresses."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.dialled: list[str] = []

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        self.dialled.append(host)
        return super().connect_tcp(self.web.host, self.web.port, timeout, local_address, socket_options)
