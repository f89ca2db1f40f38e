"""One network connection to a checked address, under one clock.

The name is resolved once; what came back is checked, and that very address is dialled. So a name server that
gives a public address to the check and a private one to the connection gains nothing. Host header, SNI and
certificate check keep the name, because only the dialling is replaced.
"""

import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from ipaddress import ip_address

import httpcore

from broker.fetching.addresses import Target, reason_to_refuse
from broker.fetching.errors import FetchTimeoutError, RefusedAddressError, UnreachableError

Resolver = Callable[[str, int], Sequence[str]]
"""From a host name and a port to numeric addresses, best first; raises OSError when there are none."""


def resolve(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class Deadline:
    """The moment at which a whole fetch, however many redirects it takes, must be over."""

    def __init__(self, limit: timedelta) -> None:
        self._ends = time.monotonic() + limit.total_seconds()

    def remaining(self, at_most: float | None = None) -> float:
        """Seconds left, always more than 0; raises FetchTimeoutError when there are none."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise FetchTimeoutError("the page took longer than its time limit")
        return left if at_most is None else min(left, at_most)


class PinnedBackend(httpcore.NetworkBackend):
    """Dials the one target it was made for, at an address that it has checked."""

    def __init__(
        self,
        target: Target,
        deadline: Deadline,
        *,
        resolver: Resolver,
        allowed: bool,
        dialler: httpcore.NetworkBackend | None = None,
    ) -> None:
        self._target = target
        self._deadline = deadline
        self._resolver = resolver
        self._allowed = allowed
        self._dialler = dialler or httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Try the checked addresses in order; the last failure is the one that is raised."""
        failure: Exception = UnreachableError(f"{host} has no address")
        for address in self.checked_addresses():
            try:
                left = self._deadline.remaining(timeout)
                stream = self._dialler.connect_tcp(address, port, left, local_address, socket_options)
                return _TimedStream(stream, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    def checked_addresses(self) -> Sequence[str]:
        """Resolve, and refuse the whole answer when one address in it is not public.

        A name that means both a public and a private machine is either an accident or an attack.
        """
        literal = self._target.literal
        found = [str(literal)] if literal else self._resolve()
        for address in found:
            why = None if self._allowed else reason_to_refuse(ip_address(address.partition("%")[0]))
            if why:
                raise RefusedAddressError(f"{self._target.host} is at {address}, which is {why}")
        return found

    def _resolve(self) -> Sequence[str]:
        """Resolve in a thread of its own: getaddrinfo knows no time limit, and can take 30 s."""
        answer: queue.SimpleQueue[Sequence[str] | OSError | UnicodeError] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answer.put(self._resolver(self._target.host, self._target.port))
            except (OSError, UnicodeError) as error:
                answer.put(error)

        threading.Thread(target=ask, name="page-resolve", daemon=True).start()
        try:
            found = answer.get(timeout=self._deadline.remaining())
        except queue.Empty as error:
            raise FetchTimeoutError(f"{self._target.host} was not resolved in time") from error
        if isinstance(found, Exception):
            raise UnreachableError(f"{self._target.host} does not resolve") from found
        return found


class _TimedStream(httpcore.NetworkStream):
    """A stream whose every wait is cut to what is left, so that a byte a second cannot hold a worker."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.remaining(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._deadline.remaining(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        secured = self._inner.start_tls(ssl_context, server_hostname, self._deadline.remaining(timeout))
        return _TimedStream(secured, self._deadline)

    def get_extra_info(self, info: str) -> object:
        return self._inner.get_extra_info(info)
