"""The built-in music maker: its files are opened and listened to, as far as a test can listen."""

import io
import sys
import time
import wave
from array import array
from datetime import timedelta
from itertools import pairwise

import pytest
from pydantic import ValidationError

from actors.orders.song import Genre, Mood, Song, SongCustomization
from actors.orders.synthesiser import Synthesiser

WISH = SongCustomization(recipient_name="Ines", occasion="birthday")


def listen(song: Song) -> "array[int]":
    """The samples, after a look at the format."""
    with wave.open(io.BytesIO(song.data)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 22_050)
        samples = array("h", file.readframes(file.getnframes()))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


@pytest.mark.parametrize("mood", ["happy", "romantic", "calm", "energetic", "sad", "epic"])
@pytest.mark.parametrize("genre", ["pop", "rock", "folk", "jazz", "classical", "electronic"])
def test_every_genre_and_mood_gives_a_song_of_some_seconds(genre: Genre, mood: Mood) -> None:
    song = Synthesiser().make(WISH.model_copy(update={"genre": genre, "mood": mood}), 1, "key")

    samples = listen(song)

    assert 5 <= len(samples) / 22_050 <= 12
    assert song.duration == timedelta(seconds=len(samples) / 22_050)
    assert (song.content_type, song.extension) == ("audio/wav", "wav")


@pytest.mark.parametrize("tempo", [50, 200])
def test_the_slowest_and_the_fastest_song_are_no_longer_than_needed(tempo: int) -> None:
    song = Synthesiser().make(WISH.model_copy(update={"tempo": tempo}), 1, "key")

    assert 5 <= len(listen(song)) / 22_050 <= 15


def test_the_song_is_loud_never_clipped_and_silent_nowhere_for_long() -> None:
    samples = listen(Synthesiser().make(WISH, 1, "key"))

    assert 25_000 < max(map(abs, samples)) < 32_767
    half_seconds = [samples[at : at + 11_025] for at in range(0, len(samples) - 11_025, 11_025)]
    assert all(max(map(abs, part)) > 1_000 for part in half_seconds)
    assert abs(sum(samples) / len(samples)) < 200  # no offset, which a loudspeaker would hear as a click


def test_the_melody_moves() -> None:
    """Given the zero crossings of each quarter second, then they are not those of one long tone."""
    samples = listen(Synthesiser().make(WISH, 1, "key"))

    parts = [samples[at : at + 5_512] for at in range(0, len(samples) - 5_512, 5_512)]
    crossings = {sum((a < 0) != (b < 0) for a, b in pairwise(part)) for part in parts}

    assert len(crossings) > 5


def test_variants_orders_and_wishes_all_sound_different() -> None:
    maker = Synthesiser()
    songs = [maker.make(WISH, variant, "order-1") for variant in (1, 2, 3)]
    songs.append(maker.make(WISH, 1, "order-2"))
    songs.append(maker.make(WISH.model_copy(update={"recipient_name": "Tomas"}), 1, "order-1"))

    assert len({song.data for song in songs}) == 5


def test_the_same_order_gives_the_same_bytes() -> None:
    assert Synthesiser().make(WISH, 2, "k").data == Synthesiser().make(WISH.model_copy(), 2, "k").data


def test_a_variant_takes_less_than_a_second_of_work() -> None:
    began = time.thread_time()
    Synthesiser().make(WISH.model_copy(update={"mood": "sad"}), 1, "key")

    assert time.thread_time() - began < 1


@pytest.mark.parametrize(
    "fault",
    [
        {"recipient_name": "  "},
        {"recipient_name": "x" * 81},
        {"recipient_name": "a\0b"},
        {"message": "a\0b"},
        {"message": "x" * 1_001},
        {"genre": "noise"},
        {"mood": "beige"},
        {"tempo": 10},
        {"tempo": 500},
    ],
)
def test_a_wish_that_cannot_be_played_is_refused(fault: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SongCustomization.model_validate({"recipient_name": "Ines", "occasion": "birthday", **fault})
