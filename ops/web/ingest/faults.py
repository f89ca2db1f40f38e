"""What is wrong with a request, by its paths; and the answer that says so."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from broker.errors import CallboardError, EventTooLargeError, UndecodableError
from ops.web.answers import HEADERS
from ops.web.tracing import Answer
from schemas import InvalidPayload

KEPT = ("retry-after", "www-authenticate")


@dataclass(frozen=True, slots=True)
class Fault:
    """One place and its rule. No value of the request is in it."""

    path: str
    message: str


class RefusedError(CallboardError):
    """Nothing of the request was kept. `retry` is in how many seconds it may be tried again."""

    def __init__(
        self, code: int, type: str, message: str, faults: Sequence[Fault] = (), retry: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.type = type
        self.faults = tuple(faults)
        self.retry = retry

    def answer(self) -> JSONResponse:
        """`{"error": {"type": …, "message": …, "faults": [{"path": …, "message": …}]}}`"""
        error: dict[str, object] = {"type": self.type, "message": str(self)}
        if self.faults:
            error["faults"] = [asdict(fault) for fault in self.faults]
        headers = {"retry-after": str(max(1, ceil(self.retry)))} if self.retry is not None else {}
        return JSONResponse({"error": error, "status": self.code}, self.code, HEADERS | headers)


def in_one_text(answer: Answer) -> Answer:
    """The same answers, with what was refused told as event-function SDKs expect it: `error` is one text. The parts stay beside
    it, in `type` and `faults`."""

    async def answered(request: Request) -> Response:
        response = await answer(request)
        if response.status_code < 400:
            return response
        error: dict[str, Any] = json.loads(bytes(response.body))["error"]
        faults = error.get("faults", [])
        text = "; ".join([error["message"], *(f"{fault['path']}: {fault['message']}" for fault in faults)])
        told = {"error": text, "status": response.status_code, "type": error["type"], "faults": faults}
        kept = {name: response.headers[name] for name in KEPT if name in response.headers}
        return JSONResponse(told, response.status_code, HEADERS | kept)

    return answered


def undecodable(error: UndecodableError | EventTooLargeError, at: str) -> Fault:
    path = error.field or "data"
    return Fault(at + path, str(error).removeprefix(f"{path}: "))


def invalid(error: InvalidPayload, at: str) -> list[Fault]:
    return [Fault(f"{at}{_under_data(path)}", rule) for path, rule in error.faults]


def _under_data(path: str) -> str:
    return path if path == "data" else f"data.{path}"
