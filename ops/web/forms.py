"""What a form of ours posts."""

from urllib.parse import parse_qsl

from starlette.requests import Request

from ops.web.body import BodyError, read_body

MAX_BYTES = 16 * 1024
KIND = "application/x-www-form-urlencoded"


async def form_of(request: Request) -> dict[str, str]:
    """The last value of each field. Raises BodyError for what is no form, too large or slow."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != KIND:
        raise BodyError(415, "encoded", f"a form is posted as {KIND}")
    body = await read_body(request, MAX_BYTES)
    try:
        return dict(
            parse_qsl(
                body.decode("ascii"), strict_parsing=bool(body), keep_blank_values=True, errors="strict"
            )
        )
    except ValueError:
        raise BodyError(400, "invalid", "this is no form") from None
