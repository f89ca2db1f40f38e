"""A listener as a browser's EventSource is one: server-sent events, read line by line from a real connection."""

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx


@dataclass(frozen=True)
class Heard:
    """One event. `id` is the last one that was sent; `name` is `message` unless the stream says another."""

    id: str
    name: str
    data: Any


@dataclass
class Ear:
    """An open stream. `id` is what a browser would come back with."""

    lines: Iterator[str]
    id: str = ""
    comments: int = 0

    def hear(self, count: int = 1) -> list[Heard]:
        """The next ones; fewer if the stream ends."""
        found: list[Heard] = []
        while len(found) < count:
            heard = self._next()
            if heard is None:
                break
            found.append(heard)
        return found

    def ready(self) -> None:
        """Read on until it is known where a listener that comes back would begin."""
        while not self.id:
            assert self._field() is not None

    def silence(self) -> None:
        """Read on until a comment comes."""
        before = self.comments
        while self.comments == before:
            assert self._field() is not None

    def _next(self) -> Heard | None:
        name, data = "message", None
        while (line := self._field()) is not None:
            word, _, text = line.partition(": ")
            if word == "event":
                name = text
            elif word == "data":
                data = text
            elif not line and data is not None:
                return Heard(self.id, name, json.loads(data))
        return None

    def _field(self) -> str | None:
        line = next(self.lines, None)
        if line is not None and line.startswith(":"):
            self.comments += 1
        if line is not None and line.startswith("id: "):
            self.id = line[4:]
        return line


@contextmanager
def listening(page: str, channel: str, token: str, last: str = "") -> Generator[Ear]:
    """Connected. Raises AssertionError with the answer if it is not allowed."""
    headers = {"last-event-id": last} if last else {}
    with (
        httpx.Client(base_url=page, timeout=10) as client,  # less than a heartbeat: nothing hangs
        client.stream(
            "GET", f"/realtime/{quote(channel, safe='')}", params={"token": token}, headers=headers
        ) as stream,
    ):
        assert stream.status_code == 200, stream.read()
        yield Ear(stream.iter_lines())
