"""Whether the server still serves: what it holds open must end with it."""

from collections.abc import Callable
from threading import Event


class Live:
    """Whether streams go on: an open one would keep the server from stopping."""

    def __init__(self) -> None:
        self._over = Event()
        self._closing: list[Callable[[], object]] = []

    def end(self) -> None:
        self._over.set()
        while self._closing:
            self._closing.pop()()

    def at_end(self, close: Callable[[], object]) -> None:
        """Called once, when the server stops."""
        self._closing.append(close)

    @property
    def over(self) -> bool:
        return self._over.is_set()
