"""Fixtures for the actors of orders: a folder for songs, and a music API of the test's."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from actors.orders import providers
from tests.support.web import Call, Web


@pytest.fixture
def songs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of finished songs, made by the built-in synthesiser unless the test says otherwise."""
    monkeypatch.setenv("CALLBOARD_DATA", str(tmp_path))
    providers.forget()
    yield tmp_path / "songs"
    providers.forget()


@dataclass
class Studio:
    """A music API: `refuse` decides for each (variant, how many times it was asked before) whether it answers an error."""

    web: Web
    refuse: Callable[[int, int], tuple[int, str | None] | None] = lambda variant, before: None
    asked: list[int] = field(default_factory=list[int])
    keys: list[str] = field(default_factory=list[str])

    def generations(self, call: Call) -> None:
        request = self.web.requests[-1]
        variant = int(str(request.json["variant"]))
        refusal = self.refuse(variant, self.asked.count(variant))
        self.asked.append(variant)
        self.keys.append(request.headers["idempotency-key"])
        if refusal is not None:
            status, retry_after = refusal
            return call.answer(status, **({"retry_after": retry_after} if retry_after else {}))
        done = {"id": f"g{variant}", "status": "completed", "url": "/song.mp3"}
        return call.answer(200, json.dumps(done), content_type="application/json")


@pytest.fixture
def studio(web: Web, songs: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    """The API, configured."""
    made = Studio(web)
    web.routes["/v1/audio/generations"] = made.generations
    web.routes["/song.mp3"] = lambda call: call.answer(200, b"la la", content_type="audio/mpeg")
    monkeypatch.setenv("CALLBOARD_ORDERS_MUSIC_URL", web.url("/v1"))
    providers.forget()
    return made
