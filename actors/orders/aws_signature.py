"""Signing one S3 request: AWS Signature Version 4, over headers."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from pydantic import SecretStr


@dataclass(frozen=True)
class Credentials:
    """Who signs, and for which region."""

    access_key: str
    secret_key: SecretStr
    region: str


def sign(
    credentials: Credentials, method: str, url: str, headers: Mapping[str, str], body: bytes, now: datetime
) -> dict[str, str]:
    """Return the given headers with those that prove who sends them.

    The path of `url` is signed as it stands: encode it once, as S3 wants it. `now` must be within 15 minutes
    of the server's clock.
    """
    parts = urlsplit(url)
    moment = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    signed = {**headers, "host": parts.netloc, "x-amz-content-sha256": digest, "x-amz-date": moment}
    lowered = dict(sorted((name.lower(), value.strip()) for name, value in signed.items()))
    names = ";".join(lowered)
    lines = "".join(f"{name}:{value}\n" for name, value in lowered.items())
    request = "\n".join((method, parts.path or "/", _query(parts.query), lines, names, digest))
    scope = f"{moment[:8]}/{credentials.region}/s3/aws4_request"
    text = "\n".join(("AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(request.encode()).hexdigest()))
    signature = hmac.new(_key(credentials, moment[:8]), text.encode(), hashlib.sha256).hexdigest()
    proof = f"Credential={credentials.access_key}/{scope},SignedHeaders={names},Signature={signature}"
    return {**signed, "authorization": f"AWS4-HMAC-SHA256 {proof}"}


def _query(query: str) -> str:
    """The query as it is signed: sorted, and each parameter with its "="."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    return "&".join(
        sorted(f"{quote(name, safe='%-._~')}={quote(value, safe='%-._~')}" for name, _, value in pairs)
    )


def _key(credentials: Credentials, day: str) -> bytes:
    key = f"AWS4{credentials.secret_key.get_secret_value()}".encode()
    for part in (day, credentials.region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
