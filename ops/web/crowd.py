"""How many may be inside at once: each holds a body of up to a megabyte while it waits for a connection."""

from starlette.requests import Request
from starlette.responses import Response

from ops.web.answers import refused
from ops.web.tracing import Answer

MOST = 200
"""Some 200 MB at worst; at 4 ms each, the last one waits for under a second."""


class Crowd:
    """Counts what is inside. Lives on the server's event loop."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._inside = 0

    def around(self, answer: Answer) -> Answer:
        """The same answers, and 503 for who comes when it is full."""

        async def answered(request: Request) -> Response:
            if self._inside >= self._most:
                return refused(503, "busy", "too much comes at once: come again", retry_after="1")
            self._inside += 1
            try:
                return await answer(request)
            finally:
                self._inside -= 1

        return answered
