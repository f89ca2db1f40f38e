"""Answers to other programs: JSON, with a word that a program can compare and a sentence for whoever reads the log."""

from starlette.responses import JSONResponse

HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def answered(code: int, content: object, **headers: str) -> JSONResponse:
    return JSONResponse(content, code, HEADERS | _named(headers))


def refused(code: int, type: str, message: str, **headers: str) -> JSONResponse:
    """`{"error": {"type": …, "message": …}}`; `retry_after="5"` is the header Retry-After."""
    return JSONResponse({"error": {"type": type, "message": message}}, code, HEADERS | _named(headers))


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
