"""What is wrong with a request, by its paths; and the answer that says so."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil

from starlette.responses import JSONResponse

from broker.errors import CallboardError, EventTooLargeError, UndecodableError
from ops.web.answers import HEADERS
from schemas import InvalidPayload


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


def undecodable(error: UndecodableError | EventTooLargeError, at: str) -> Fault:
    path = error.field or "data"
    return Fault(at + path, str(error).removeprefix(f"{path}: "))


def invalid(error: InvalidPayload, at: str) -> list[Fault]:
    return [Fault(f"{at}{_under_data(path)}", rule) for path, rule in error.faults]


def _under_data(path: str) -> str:
    return path if path == "data" else f"data.{path}"
