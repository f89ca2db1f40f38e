"""Tokens: which channels somebody may listen to, and until when. Signed with HMAC-SHA-256; nothing about them is stored.

<base64url of {"channels": [...], "expires": seconds}>.<base64url of the signature>
"""

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from broker.errors import ConfigurationError, TokenError
from broker.realtime.channels import channel_fault
from broker.settings import Settings, load_settings

LEAST_SECRET = 32
"""Characters: below that a token could be had by trying."""
MAX_TOKEN = 16 * 1024
"""It travels in an address; uvicorn takes no longer ones anyhow."""
_PURPOSE = b"callboard realtime 1\n"
"""Part of what is signed, so that nothing else that was signed with this secret is a token."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What a token says."""

    channels: frozenset[str]
    expires_at: datetime


def realtime_token(
    *channels: str,
    lasts: timedelta = timedelta(hours=1),
    settings: Settings | None = None,
    now: datetime | None = None,
) -> str:
    """A token for these channels, for somebody of whom you know that they may listen. Settings are the environment's unless
    given. Raises ConfigurationError without a secret, and for what is no channel."""
    if not channels or lasts <= timedelta(0):
        raise ConfigurationError("a token is for at least one channel, and for longer than no time")
    for channel in channels:
        if fault := channel_fault(channel):
            raise ConfigurationError(fault)
    secret, *_ = secrets_of(settings or load_settings())
    expires = int(((now or datetime.now(UTC)) + lasts).timestamp())
    claims = json.dumps({"channels": sorted(set(channels)), "expires": expires}, separators=(",", ":"))
    body = urlsafe_b64encode(claims.encode()).rstrip(b"=")
    token = (body + b"." + _signature(secret, body)).decode()
    if len(token) > MAX_TOKEN:
        raise ConfigurationError("a token for so many channels is too long for an address: make several")
    return token


def read_token(token: str, secrets: Sequence[str], now: datetime) -> Pass:
    """Raises TokenError: `missing`, `invalid` or `expired`."""
    if not token:
        raise TokenError("missing", "give a token: ?token=… or Authorization: Bearer …")
    body, _, signature = token.encode(errors="replace").partition(b".")
    signed = [hmac.compare_digest(_signature(secret, body), signature) for secret in secrets]
    if len(token) > MAX_TOKEN or not any(signed):
        raise TokenError("invalid", "this token was not made here: ask for another one")
    try:
        claims = json.loads(urlsafe_b64decode(body + b"=" * (-len(body) % 4)))
        found = Pass(frozenset(claims["channels"]), datetime.fromtimestamp(claims["expires"], UTC))
    except (ValueError, KeyError, TypeError, OverflowError, OSError, Base64Error):
        raise TokenError("invalid", "this token cannot be read: ask for another one") from None
    if found.expires_at <= now:
        raise TokenError("expired", "this token has expired: ask for another one")
    return found


def secrets_of(settings: Settings) -> list[str]:
    """The first signs, all are taken. Raises ConfigurationError that names the setting."""
    found = [part.strip() for part in settings.realtime_secret.get_secret_value().split(",") if part.strip()]
    if not found:
        raise ConfigurationError("CALLBOARD_REALTIME_SECRET is not set: without it nobody can listen")
    if any(len(secret) < LEAST_SECRET for secret in found):
        raise ConfigurationError(
            f"CALLBOARD_REALTIME_SECRET is too short: give it {LEAST_SECRET} characters or more"
        )
    return found


def _signature(secret: str, body: bytes) -> bytes:
    made = hmac.new(secret.encode(), _PURPOSE + body, hashlib.sha256).digest()
    return urlsafe_b64encode(made).rstrip(b"=")
