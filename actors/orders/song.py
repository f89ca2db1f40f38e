"""A song to order, a song made, and what makes songs."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

Genre = Literal["pop", "rock", "folk", "jazz", "classical", "electronic"]
Mood = Literal["happy", "romantic", "calm", "energetic", "sad", "epic"]


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("NUL characters cannot be kept")
    return text


_Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80), AfterValidator(_without_nul)
]


class SongCustomization(BaseModel):
    """What the buyer wants."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    recipient_name: _Name
    """For whom the song is."""
    occasion: _Name
    """Birthday, wedding, farewell: in the buyer's words."""
    genre: Genre = "pop"
    mood: Mood = "happy"
    tempo: int | None = Field(default=None, ge=50, le=200)
    """Beats a minute; None leaves it to genre and mood."""
    message: Annotated[str, AfterValidator(_without_nul)] = Field(default="", max_length=1_000)
    """What the song should say, in the buyer's words."""


@dataclass(frozen=True, slots=True)
class Song:
    """A finished recording."""

    data: bytes
    content_type: str
    extension: str
    """Without a dot."""
    duration: timedelta | None
    """None when the maker does not say."""


class MusicMaker(Protocol):
    """Anything that can make a song."""

    def make(self, customization: SongCustomization, variant: int, idempotency_key: str) -> Song:
        """Return variant 1, 2, 3 … of the song.

        The same idempotency key means the same song: it may be made again, but not charged again. Raises
        MusicError, whose `final` says whether another try can help.
        """
        ...
