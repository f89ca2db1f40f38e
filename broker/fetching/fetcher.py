"""Fetching a web page that a stranger named, without letting the stranger reach anything else through us."""

import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol
from urllib.parse import urljoin

import httpcore

from broker.fetching.addresses import Target, read_url
from broker.fetching.body import read_body
from broker.fetching.connection import Deadline, PinnedBackend, Resolver, resolve
from broker.fetching.errors import (
    BrokenAnswerError,
    FetchTimeoutError,
    HttpStatusError,
    NotHtmlError,
    RefusedAddressError,
    TooManyRedirectsError,
    UnreachableError,
)

HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
USER_AGENT = "CallboardPageScan/1.0"


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """A page as it came, after redirects and decompression."""

    url: str
    """Where the page was in the end."""
    status: int
    content_type: str
    """The whole header, charset included."""
    body: bytes
    redirects: tuple[str, ...]
    """The URLs that led here, first one first; empty when the first answered."""


class Fetcher(Protocol):
    """Anything that can get a page."""

    def fetch(self, url: str) -> FetchedPage:
        """Return the page; raises FetchError, whose `final` says whether another try can help."""
        ...


@dataclass(frozen=True)
class FetchLimits:
    """What one page may cost."""

    max_bytes: int = 2_000_000  # after decompression; the 99th percentile of HTML documents is under 1 MB
    time: timedelta = timedelta(seconds=20)  # for everything: names, redirects, body
    redirects: int = 5


@dataclass(frozen=True)
class HttpFetcher:
    """Fetches over HTTP, from public addresses only; safe to share between threads.

    It reads no proxy from the environment, keeps no cookie and sends no credentials. Each redirect is a new
    request that passes the same checks. `allowed_hosts` names hosts ("host" or "host:port") whose addresses
    are not checked: for development.
    """

    allowed_hosts: frozenset[str] = frozenset()
    limits: FetchLimits = FetchLimits()
    resolver: Resolver = resolve
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context, repr=False)
    dialler: httpcore.NetworkBackend | None = None
    """What opens connections to checked addresses; None for plain sockets."""

    def fetch(self, url: str) -> FetchedPage:
        deadline = Deadline(self.limits.time)
        passed: list[str] = []
        target = read_url(url)
        while True:
            answer = self._ask(target, deadline, tuple(passed))
            if isinstance(answer, FetchedPage):
                return answer
            passed.append(target.url)
            if len(passed) > self.limits.redirects:
                raise TooManyRedirectsError(f"{url} was redirected more than {self.limits.redirects} times")
            target = read_url(answer)

    def _ask(self, target: Target, deadline: Deadline, passed: tuple[str, ...]) -> FetchedPage | str:
        """Return the page, or the URL that the server sends us to."""
        try:
            with self._connect(target, deadline) as connection:
                response = connection.handle_request(_request(target))
                try:
                    return self._read(target, response, passed)
                finally:
                    response.close()
        except httpcore.TimeoutException as error:
            raise FetchTimeoutError(f"{target.url} took longer than its time limit") from error
        except httpcore.NetworkError as error:
            raise UnreachableError(f"{target.url} could not be reached: {error}") from error
        except (httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
            raise BrokenAnswerError(f"{target.url} does not answer in valid HTTP") from error

    def _connect(self, target: Target, deadline: Deadline) -> httpcore.HTTPConnection:
        backend = PinnedBackend(
            target,
            deadline,
            resolver=self.resolver,
            allowed=target.is_among(self.allowed_hosts),
            dialler=self.dialler,
        )
        origin = httpcore.Origin(target.scheme.encode(), target.host.encode(), target.port)
        return httpcore.HTTPConnection(origin, ssl_context=self.tls, network_backend=backend)

    def _read(
        self, target: Target, response: httpcore.Response, passed: tuple[str, ...]
    ) -> FetchedPage | str:
        location = _header(response, b"location")
        if response.status in REDIRECTS and location is not None:
            return _follow(target, location)
        if not 200 <= response.status < 300:
            raise HttpStatusError(target.url, response.status, _header(response, b"retry-after"))
        content_type = _header(response, b"content-type") or ""
        if content_type.partition(";")[0].strip().lower() not in HTML_TYPES:
            raise NotHtmlError(f"{target.url} is {content_type[:100] or 'of no stated type'}, not HTML")
        encoding = _header(response, b"content-encoding") or ""
        body = read_body(response.iter_stream(), encoding, self.limits.max_bytes)
        return FetchedPage(target.url, response.status, content_type, body, passed)


def _request(target: Target) -> httpcore.Request:
    headers: list[tuple[bytes | str, bytes | str]] = [
        ("Host", target.authority),
        ("User-Agent", USER_AGENT),
        ("Accept", "text/html,application/xhtml+xml;q=0.9"),
        ("Accept-Encoding", "gzip, deflate"),
        ("Connection", "close"),
    ]
    scheme, host, path = target.scheme.encode(), target.host.encode(), target.path.encode()
    url = httpcore.URL(scheme=scheme, host=host, port=target.port, target=path)
    return httpcore.Request("GET", url, headers=headers)


def _follow(target: Target, location: str) -> str:
    try:
        return urljoin(target.url, location)
    except ValueError as error:
        raise RefusedAddressError(f"{target.url} redirects to a URL that cannot be read") from error


def _header(response: httpcore.Response, name: bytes) -> str | None:
    value = next((value for key, value in response.headers if key.lower() == name), None)
    return None if value is None else value.decode("utf-8", "replace")
