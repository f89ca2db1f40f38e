"""Which addresses insist on an encrypted, verified link. Nothing here connects."""

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

VERIFIED = ("verify-full", "verify-ca")
"""Of libpq's modes those that check the server's certificate. `prefer`, its default, goes on in plain where a server (or who
stands in its place) says that it has no encryption; `require` takes any certificate."""


def is_here(host: str | None) -> bool:
    """Whether a host is this machine: a socket, a loopback address, or what a client takes for none."""
    if not host or host == "localhost" or host.startswith("/"):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def insists(url: str) -> bool:
    """Whether an `amqp(s)://` or `http(s)://` address is encrypted, or leads to this machine."""
    parts = urlsplit(url)
    return parts.scheme in ("amqps", "https") or is_here(parts.hostname)


def dsn_insists(dsn: str) -> bool:
    """The same of a DSN, by what it says itself: an environment variable of libpq's can be lost on the way to a process."""
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        return True  # what cannot be read cannot be connected to, and is told as that
    hosts = str(parts.get("hostaddr") or parts.get("host") or "").split(",")
    return parts.get("sslmode") in VERIFIED or all(map(is_here, hosts))


def plain(dsns: Iterable[tuple[str, str]], urls: Iterable[tuple[str, str]]) -> list[str]:
    """The names of those, given as (name, address), that do not insist. Empty addresses are none."""
    wanting = [name for name, dsn in dsns if dsn and not dsn_insists(dsn)]
    return wanting + [name for name, url in urls if url and not insists(url)]
