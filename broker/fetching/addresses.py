"""Which web addresses a page fetch may call, and which it refuses.

A URL comes from a stranger, and the fetch runs inside our network: without these rules, a page scan would be
a way to read the cloud's metadata service or an admin page on localhost. The rules hold for the spelling of
the URL (``read_url``) and for the numeric address behind it (``reason_to_refuse``).
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, quote, urlsplit

import idna

from broker.fetching.errors import RefusedAddressError

Address = IPv4Address | IPv6Address

MAX_URL_LENGTH = 8_000  # what browsers and common servers agree on; a longer one is no page somebody scans


@dataclass(frozen=True, slots=True)
class Target:
    """Where one request goes, in the only spelling that we accept for it."""

    scheme: str
    host: str
    port: int
    path: str
    """Path and query, as sent on the request line."""

    @property
    def is_default_port(self) -> bool:
        return self.port == _DEFAULT_PORTS[self.scheme]

    @property
    def authority(self) -> str:
        """Host and, where it matters, port: the value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.is_default_port else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def literal(self) -> Address | None:
        """The address, when the host is one written in numbers."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None

    def is_among(self, hosts: Iterable[str]) -> bool:
        """Whether a list of "host" or "host:port" names this one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return not {self.host, host, f"{host}:{self.port}"}.isdisjoint(hosts)


def read_url(url: str) -> Target:
    """Read an http or https URL.

    Raises RefusedAddressError for every other scheme, for user names, and for spellings that two programs
    could read as two different hosts.
    """
    if len(url) > MAX_URL_LENGTH or _UNWANTED.search(url):
        raise RefusedAddressError("the URL is too long, or holds spaces, backslashes or control characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise RefusedAddressError(f"the URL cannot be read: {error}") from error
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        raise RefusedAddressError(f"only http and https are fetched, not {scheme[:20] or 'a bare path'}")
    if not _NETLOC.fullmatch(parts.netloc):
        raise RefusedAddressError("the brackets of the URL's host are in the wrong place")
    if "@" in parts.netloc:
        raise RefusedAddressError("a URL with a user name or password is not fetched")
    if port == 0:
        raise RefusedAddressError("port 0 cannot be called")
    return Target(scheme, read_host(parts.hostname or ""), port or _DEFAULT_PORTS[scheme], _path(parts))


def read_host(raw: str) -> str:
    """Return the host in lower-case ASCII without a trailing dot, or raise RefusedAddressError."""
    if ":" in raw:
        return _read_v6(raw)
    folded = unicodedata.normalize("NFKC", raw).lower().removesuffix(".")
    if not folded or "%" in folded:
        raise RefusedAddressError("the URL has no host, or one with an escape in it")
    if _looks_numeric(folded):
        return _read_v4(raw, folded)
    try:
        host = folded if _PLAIN_HOST.fullmatch(folded) else idna.encode(folded, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise RefusedAddressError(f"the host name is not valid: {error}") from error
    if _looks_numeric(host) or not _PLAIN_HOST.fullmatch(host) or len(host) > 253:
        raise RefusedAddressError("the host name is not valid")
    return host


def reason_to_refuse(address: Address) -> str | None:
    """Say why this address is not on the public internet; None when it is."""
    if isinstance(address, IPv4Address):
        return next((why for network, why in _REFUSED_V4 if address in network), None)
    if address in _NAT64:
        # A network with IPv6 alone reaches every IPv4 site this way, so what counts is the address inside.
        inner = reason_to_refuse(IPv4Address(int(address) & 0xFFFFFFFF))
        return inner and f"{inner}, behind NAT64"
    special = next((why for network, why in _REFUSED_V6 if address in network), None)
    if special is None and address not in _GLOBAL_UNICAST:
        return "not in the public IPv6 range"
    return special or _reason_in_isatap(address)


def _read_v6(raw: str) -> str:
    try:
        address = IPv6Address(raw)
    except ValueError as error:
        raise RefusedAddressError("the host is not a valid IPv6 address") from error
    if address.scope_id is not None:
        raise RefusedAddressError("an IPv6 address with a zone is local")
    return str(address)


def _read_v4(raw: str, folded: str) -> str:
    """Accept four plain decimal numbers and nothing else that a resolver would take for them.

    2130706433, 0x7f.1, 017700000001 and circled digits all mean 127.0.0.1 to some resolver; nobody writes a
    public site this way.
    """
    try:
        address = str(IPv4Address(folded))
    except ValueError as error:
        raise RefusedAddressError("an unusual spelling of an IPv4 address") from error
    if address != raw:
        raise RefusedAddressError("an unusual spelling of an IPv4 address")
    return address


def _looks_numeric(host: str) -> bool:
    """Whether the last label makes a resolver read the whole as a number (the URL standard's rule)."""
    return bool(_NUMERIC_LABEL.fullmatch(host.rsplit(".", 1)[-1]))


def _path(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    query = quote(parts.query, safe="/%:@!$&'()*+,;=~?[]|")
    return f"{path}?{query}" if query else path


def _reason_in_isatap(address: IPv6Address) -> str | None:
    """ISATAP (RFC 5214) hides an IPv4 address behind 0000:5efe or 0200:5efe."""
    if int(address) >> 32 & 0xFDFFFFFF != 0x00005EFE:
        return None
    inner = reason_to_refuse(IPv4Address(int(address) & 0xFFFFFFFF))
    return inner and f"{inner}, behind ISATAP"


_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNWANTED = re.compile(r"[\x00-\x20\x7f-\x9f\\\s]")
_NETLOC = re.compile(r"[^\[\]]*|\[[0-9a-fA-F:.]+\](:[0-9]*)?")
_PLAIN_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")

# Our own lists, after the IANA special-purpose registries: `is_private` and `is_global` changed their answers
# between Python patch releases (3.12.4, 3.11.10).
_REFUSED_V4 = tuple(
    (IPv4Network(network), why)
    for network, why in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "a cloud's own service"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "for documentation"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "for benchmarks"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    (IPv6Network(network), why)
    for network, why in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::/96", "an IPv4 address in IPv6 form"),
        ("::ffff:0:0/96", "an IPv4 address in IPv6 form"),
        ("::ffff:0:0:0/96", "an IPv4 address in IPv6 form"),
        ("64:ff9b:1::/48", "a private NAT64"),
        ("2001::/32", "a Teredo tunnel"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "for documentation"),
        ("2002::/16", "a 6to4 tunnel"),
        ("3fff::/20", "for documentation"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
    )
)
