"""A secret that a caller sends as it is: `Authorization: Bearer …`."""

import hmac
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from ops.web.answers import refused


def bears(request: Request, secrets: Sequence[str]) -> bool:
    """Whether it is one of these. Compared with all of them, in constant time."""
    word, _, given = request.headers.get("authorization", "").partition(" ")
    same = [hmac.compare_digest(given.strip().encode(), secret.encode()) for secret in secrets]
    return word.lower() == "bearer" and any(same)


def bearer_needed(message: str = "a bearer token is needed") -> Response:
    return refused(401, "credentials", message, www_authenticate="Bearer")
