"""Reading a body that a stranger sends: no more than is allowed, and not for longer."""

import asyncio
from datetime import timedelta

from starlette.requests import ClientDisconnect, Request

from broker.errors import CallboardError

TIME = timedelta(seconds=10)
"""For the whole body. A megabyte takes less than one on any line that a provider has."""


class BodyError(CallboardError):
    """The body was not read. `code` is the status to answer, `type` the word for programs."""

    def __init__(self, code: int, type: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.type = type


async def read_body(request: Request, limit: int, time: timedelta = TIME) -> bytes:
    """As it came. Raises BodyError for what is encoded, larger than `limit` bytes (before reading it, where the sender says so),
    slow, or cut off."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise BodyError(415, "encoded", "send the body as it is: no content-encoding is taken here")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(time.total_seconds()):
            return await _read(request, limit)
    except TimeoutError:
        raise BodyError(408, "slow", f"the body did not come within {time.total_seconds():g} s") from None
    except ClientDisconnect:
        raise BodyError(400, "cut_off", "the body was cut off") from None


async def _read(request: Request, limit: int) -> bytes:
    read = bytearray()
    async for part in request.stream():
        read += part
        if len(read) > limit:
            raise _too_large(limit)
    return bytes(read)


def _too_large(limit: int) -> BodyError:
    return BodyError(413, "too_large", f"the body is larger than {limit} bytes")
