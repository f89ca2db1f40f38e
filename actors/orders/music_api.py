"""A music maker behind an HTTP API: ask for a generation, look until it is done, download the recording.

The API speaks JSON as OpenAI's media endpoints do: ``POST {base_url}/audio/generations`` answers with an id
and a status, ``GET {base_url}/audio/generations/{id}`` with the status until it is ``completed``, then with a
``url``.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal
from urllib.parse import quote, urljoin, urlsplit

import httpx
from pydantic import BaseModel, SecretStr, ValidationError

from actors.orders.errors import BadRequestError, MusicUnavailableError, RateLimitedError
from actors.orders.song import Song, SongCustomization

_EXTENSIONS = {
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/ogg": "ogg",
    "audio/flac": "flac",
}


class Generation(BaseModel):
    """What the API says about a song in the making."""

    id: str
    status: Literal["queued", "in_progress", "completed", "failed"]
    url: str | None = None
    """Where the recording is, once completed."""
    error: str | None = None
    duration_seconds: float | None = None


@dataclass(frozen=True)
class MusicApi:
    """Makes songs at the configured API; each of `start`, `look` and `download` is one request.

    `make` does all three, and waits in between with `wait`, in the caller's thread.
    """

    base_url: str
    api_key: SecretStr
    """Empty: none is sent."""
    model: str
    timeout: timedelta = timedelta(seconds=30)
    """Of one request."""
    patience: timedelta = timedelta(minutes=5)
    """Of the whole song, from the first request on."""
    interval: timedelta = timedelta(seconds=2)
    max_bytes: int = 50_000_000  # 5 minutes of CD quality WAV
    wait: Callable[[float], object] = field(default=time.sleep, repr=False)

    def make(self, customization: SongCustomization, variant: int, idempotency_key: str) -> Song:
        ends = time.monotonic() + self.patience.total_seconds()
        generation = self.start(customization, variant, idempotency_key)
        while generation.status in ("queued", "in_progress"):
            if time.monotonic() >= ends:
                raise MusicUnavailableError(f"song {generation.id} was not finished within {self.patience}")
            self.wait(self.interval.total_seconds())
            generation = self.look(generation.id)
        if generation.status == "failed":
            raise MusicUnavailableError(
                f"song {generation.id} failed: {generation.error or 'no reason given'}"
            )
        return self.download(generation)

    def start(self, customization: SongCustomization, variant: int, idempotency_key: str) -> Generation:
        """Ask for a song. With the same idempotency key it is the same generation, asked for twice."""
        body = {"model": self.model, "prompt": _prompt(customization, variant), "variant": variant}
        headers = {"Idempotency-Key": idempotency_key}
        with self._client() as client:
            return _generation(
                _sent(client, client.build_request("POST", self._url(), json=body, headers=headers))
            )

    def look(self, generation_id: str) -> Generation:
        """Ask how far the song is."""
        with self._client() as client:
            url = f"{self._url()}/{quote(generation_id, safe='')}"
            return _generation(_sent(client, client.build_request("GET", url)))

    def download(self, generation: Generation) -> Song:
        """Fetch the recording; the key goes along only to the API's own host."""
        url = urljoin(self._url(), generation.url or "")
        if not generation.url or urlsplit(url).scheme not in ("http", "https"):
            raise MusicUnavailableError(f"song {generation.id} is completed, but has no web address")
        with self._client(with_key=_origin(url) == _origin(self.base_url)) as client:
            content_type, data = self._read(client, url)
        kind = content_type.partition(";")[0].strip().lower()
        if kind not in _EXTENSIONS:
            raise MusicUnavailableError(f"song {generation.id} is {kind or 'of no stated type'}, not audio")
        seconds = generation.duration_seconds
        return Song(data, kind, _EXTENSIONS[kind], None if seconds is None else timedelta(seconds=seconds))

    def _read(self, client: httpx.Client, url: str) -> tuple[str, bytes]:
        data = bytearray()
        try:
            with client.stream("GET", url) as response:
                _check_status(response)
                for chunk in response.iter_bytes(65_536):
                    data += chunk
                    if len(data) > self.max_bytes:
                        raise MusicUnavailableError(f"the song is larger than {self.max_bytes} bytes")
                return str(response.headers.get("content-type", "")), bytes(data)
        except httpx.HTTPError as error:
            raise MusicUnavailableError(f"the song could not be downloaded: {error}") from error

    def _client(self, with_key: bool = True) -> httpx.Client:
        key = self.api_key.get_secret_value() if with_key else ""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(headers=headers, timeout=self.timeout.total_seconds(), trust_env=False)

    def _url(self) -> str:
        return f"{self.base_url.rstrip('/')}/audio/generations"


def _prompt(wish: SongCustomization, variant: int) -> str:
    tempo = f" at {wish.tempo} beats a minute" if wish.tempo else ""
    lines = [
        f"A {wish.mood} {wish.genre} song{tempo} for {wish.recipient_name}; the occasion: {wish.occasion}.",
        f"It should say: {wish.message}" if wish.message else "",
        f"This is version {variant}: make it different from the others.",
    ]
    return "\n".join(line for line in lines if line)


def _sent(client: httpx.Client, request: httpx.Request) -> httpx.Response:
    try:
        response = client.send(request)
    except httpx.HTTPError as error:
        raise MusicUnavailableError(f"the music API gave no answer: {error}") from error
    _check_status(response)
    return response


def _check_status(response: httpx.Response) -> None:
    status = response.status_code
    if status == 429:
        raise RateLimitedError("the music API asks for fewer requests", response.headers.get("retry-after"))
    if status == 408 or status >= 500:
        raise MusicUnavailableError(f"the music API answered {status}")
    if status >= 300:
        raise BadRequestError(f"the music API refused the request with {status}: check the order and the key")


def _generation(response: httpx.Response) -> Generation:
    try:
        return Generation.model_validate_json(response.content)
    except ValidationError as error:
        raise MusicUnavailableError("the music API answered something other than a generation") from error


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
