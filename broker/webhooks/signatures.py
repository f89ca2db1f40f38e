"""Signature schemes: who signed which bytes, and when. Compared in constant time, over the bytes as they came.

Each tolerates a clock that differs by `tolerance`, in both directions: an old delivery that somebody has kept is refused, and so
is one from the future, which could be kept until it is not.
"""

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from broker.errors import ConfigurationError, SignatureError
from broker.webhooks.secrets import Secrets
from schemas import JsonObject

TOLERANCE = timedelta(minutes=5)
"""What Stripe and the Standard Webhooks say: clocks differ by seconds, a delivery travels for seconds."""
MOST_SIGNATURES = 16
"""In one header: two or three while a secret is exchanged."""

_SECONDS = re.compile(r"[0-9]{1,12}")

Headers = Mapping[str, Sequence[str]]
"""Lower-case name → its values, one for each time the header came."""


class Scheme(Protocol):
    """How a provider signs, and where it says what. Write one of your own for another provider."""

    @property
    def secrets(self) -> Secrets: ...

    def check(self, secrets: Sequence[str], headers: Headers, body: bytes, now: datetime) -> None:
        """Raises SignatureError, and ConfigurationError for a secret that is none."""
        ...

    def delivery_id(self, headers: Headers, body: bytes, payload: JsonObject) -> str | None:
        """The same each time the provider sends the same; None where it says none."""
        ...

    def topic(self, payload: JsonObject) -> str:
        """The provider's word for what happened; empty where it says none."""
        ...

    def shop_id(self, payload: JsonObject) -> str | None:
        """On whose behalf, where one endpoint serves many."""
        ...


@dataclass(frozen=True, slots=True)
class Stripe:
    """`Stripe-Signature: t=…,v1=…`: HMAC-SHA-256 over `<t>.<body>`. The delivery is the event, `evt_…`."""

    secrets: Secrets
    tolerance: timedelta = TOLERANCE

    def check(self, secrets: Sequence[str], headers: Headers, body: bytes, now: datetime) -> None:
        header = _only(headers, "stripe-signature")
        pairs = [part.strip().partition("=")[::2] for part in header.split(",")]
        moments = [value for name, value in pairs if name == "t"]
        given = [value for name, value in pairs if name == "v1"]
        if len(moments) != 1:
            raise SignatureError("stripe-signature has not exactly one t")
        _refuse_untimely(moments[0], self.tolerance, now)
        signed = moments[0].encode() + b"." + body
        _refuse_unsigned(given, [_hex(secret.encode(), signed) for secret in secrets])

    def delivery_id(self, headers: Headers, body: bytes, payload: JsonObject) -> str | None:
        return _text(payload.get("id"))

    def topic(self, payload: JsonObject) -> str:
        return _text(payload.get("type")) or ""

    def shop_id(self, payload: JsonObject) -> str | None:
        """The connected account."""
        return _text(payload.get("account"))


@dataclass(frozen=True, slots=True)
class Salla:
    """`X-Salla-Signature`: HMAC-SHA-256 over the body, hexadecimal. No time is signed, so only the delivery's id stops a repeat.

    That id is the digest of the body, which is signed. `delivery_header` names a header to take instead: a header is not signed,
    so whoever has one delivery can then make many of it.
    """

    secrets: Secrets
    delivery_header: str | None = None

    def check(self, secrets: Sequence[str], headers: Headers, body: bytes, now: datetime) -> None:
        given = _only(headers, "x-salla-signature").strip().lower()
        _refuse_unsigned([given], [_hex(secret.encode(), body) for secret in secrets])

    def delivery_id(self, headers: Headers, body: bytes, payload: JsonObject) -> str | None:
        if self.delivery_header is not None and (found := headers.get(self.delivery_header.lower())):
            return found[0]
        return hashlib.sha256(body).hexdigest()

    def topic(self, payload: JsonObject) -> str:
        return _text(payload.get("event")) or ""

    def shop_id(self, payload: JsonObject) -> str | None:
        return _text(payload.get("merchant"))


@dataclass(frozen=True, slots=True)
class StandardWebhooks:
    """`webhook-id`, `webhook-timestamp`, `webhook-signature: v1,…`: HMAC-SHA-256 over `<id>.<timestamp>.<body>`, secrets as
    `whsec_<base64>`. Asymmetric signatures (`v1a`) are not read."""

    secrets: Secrets
    tolerance: timedelta = TOLERANCE

    def check(self, secrets: Sequence[str], headers: Headers, body: bytes, now: datetime) -> None:
        check_standard([key_of(secret) for secret in secrets], headers, body, now, self.tolerance)

    def delivery_id(self, headers: Headers, body: bytes, payload: JsonObject) -> str | None:
        return _only(headers, "webhook-id")

    def topic(self, payload: JsonObject) -> str:
        return _text(payload.get("type")) or ""

    def shop_id(self, payload: JsonObject) -> str | None:
        return None


def check_standard(
    keys: Sequence[bytes], headers: Headers, body: bytes, now: datetime, tolerance: timedelta = TOLERANCE
) -> None:
    """As the Standard Webhooks say. Raises SignatureError."""
    id, moment = _only(headers, "webhook-id"), _only(headers, "webhook-timestamp")
    _refuse_untimely(moment, tolerance, now)
    signed = f"{id}.{moment}.".encode() + body
    given = _only(headers, "webhook-signature").split(" ")
    versions = [part.removeprefix("v1,") for part in given if part.startswith("v1,")]
    digests = [b64encode(hmac.new(key, signed, hashlib.sha256).digest()) for key in keys]
    _refuse_unsigned(versions, digests)


def key_of(secret: str) -> bytes:
    """The bytes of `whsec_<base64>`. Raises ConfigurationError, without the secret."""
    try:
        return b64decode(secret.removeprefix("whsec_"), validate=True)
    except (Base64Error, ValueError):
        raise ConfigurationError("a secret of the Standard Webhooks is whsec_ and base64") from None


def _only(headers: Headers, name: str) -> str:
    """A header that must come once: of two, nobody knows which one was looked at elsewhere."""
    found = headers.get(name, ())
    if len(found) != 1 or not found[0]:
        raise SignatureError(f"{name} came {len(found)} times, or empty")
    return found[0]


def _refuse_untimely(moment: str, tolerance: timedelta, now: datetime) -> None:
    if not _SECONDS.fullmatch(moment):
        raise SignatureError("its time is no number of seconds")
    try:
        distance = abs(datetime.fromtimestamp(int(moment), UTC) - now)
    except (OverflowError, ValueError, OSError):
        raise SignatureError("its time is no moment") from None
    if distance > tolerance:
        raise SignatureError(f"signed {distance} away from now: is this machine's clock right?")


def _refuse_unsigned(given: Sequence[str], wanted: Sequence[bytes]) -> None:
    """Every pair is compared, whatever the first says."""
    if not given or len(given) > MOST_SIGNATURES:
        raise SignatureError(f"{len(given)} signatures")
    texts = [text.encode(errors="replace") for text in given]
    same = [hmac.compare_digest(text, digest) for text in texts for digest in wanted]
    if not any(same):
        raise SignatureError("signed with none of our secrets, or over other bytes")


def _hex(key: bytes, signed: bytes) -> bytes:
    return hmac.new(key, signed, hashlib.sha256).hexdigest().encode()


def _text(value: object) -> str | None:
    """An id or a word; numbers are told as text."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value) or None
