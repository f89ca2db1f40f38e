"""The built-in music maker: chords, a bass and a melody, played by additive synthesis into a WAV file."""

import hashlib
import io
import math
import random
import wave
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate
from operator import add

from actors.orders.song import Genre, Mood, Song, SongCustomization

SAMPLE_RATE = 22_050  # half of a CD's: half the work, and enough for tones below 5 kHz
BEATS_A_BAR = 4
SHORTEST = timedelta(seconds=6)
TABLE_SIZE = 2_048  # one period of a tone: finer than 16 bits can show at these volumes
LOUDEST = 0.85 * 32_767


@dataclass(frozen=True)
class Synthesiser:
    """Composes from the order alone: the same customization, variant and key give the same bytes."""

    def make(self, customization: SongCustomization, variant: int, idempotency_key: str) -> Song:
        seed = f"{customization.model_dump_json()}|{variant}|{idempotency_key}"
        # SHA-256, because random.Random seeds alike on every platform and version only from an integer.
        dice = random.Random(int.from_bytes(hashlib.sha256(seed.encode()).digest()))  # noqa: S311 - music
        score = _compose(customization, dice)
        samples = _play(score)
        duration = timedelta(seconds=len(samples) / SAMPLE_RATE)
        return Song(_wav(samples), "audio/wav", "wav", duration)


@dataclass(frozen=True, slots=True)
class _Note:
    start: int
    """In samples."""
    length: int
    pitch: int
    """As in MIDI: 69 is the A of 440 Hz."""
    voice: str


@dataclass(frozen=True, slots=True)
class _Score:
    notes: tuple[_Note, ...]
    length: int
    lead: Sequence[float]
    """How loud each harmonic of the melody's voice is."""


def _compose(wish: SongCustomization, dice: random.Random) -> _Score:
    """Lay chords from a progression of the mood, a bass on each beat's root, and a melody over both."""
    tempo = (wish.tempo or _TEMPOS[wish.mood]) + dice.randint(-4, 4)
    beat = round(SAMPLE_RATE * 60 / tempo)
    bars = max(2, math.ceil(SHORTEST.total_seconds() * SAMPLE_RATE / (beat * BEATS_A_BAR)))
    scale = _MINOR if wish.mood in _MINOR_MOODS else _MAJOR
    tonic = dice.randint(55, 62)
    chords = dice.choice(_PROGRESSIONS)
    notes: list[_Note] = []
    for bar in range(bars):
        start = bar * beat * BEATS_A_BAR
        root = chords[bar % len(chords)]
        chord = [tonic + _step(scale, root + third) for third in (0, 2, 4)]
        notes += [_Note(start, beat * BEATS_A_BAR, pitch, "chord") for pitch in chord]
        notes += [_Note(start + half * 2 * beat, 2 * beat, chord[0] - 12, "bass") for half in (0, 1)]
        notes += _melody(dice, start, beat, [tonic + 12 + _step(scale, root + step) for step in range(8)])
    return _Score(tuple(notes), bars * beat * BEATS_A_BAR, _LEADS[wish.genre])


def _melody(dice: random.Random, start: int, beat: int, steps: Sequence[int]) -> list[_Note]:
    """One bar: notes of half a beat to two beats, that mostly walk and sometimes leap to the chord."""
    notes = []
    place, left = dice.choice((0, 2, 4)), 2 * BEATS_A_BAR
    while left:
        halves = min(left, dice.choice((1, 1, 2, 2, 2, 4)))
        length = halves * beat // 2
        notes.append(_Note(start + (2 * BEATS_A_BAR - left) * beat // 2, length, steps[place], "lead"))
        left -= halves
        leap = dice.random() < 0.25
        place = dice.choice((0, 2, 4, 7)) if leap else min(7, max(0, place + dice.choice((-1, 1, 1, -2, 2))))
    return notes


def _play(score: _Score) -> "array[int]":
    """Add up all notes and bring the sum to full volume; notes that repeat are played once and copied."""
    tables = {"lead": _table(score.lead), "chord": _table(_CHORD_TONE), "bass": _table(_BASS_TONE)}
    played: dict[tuple[str, int, int], list[float]] = {}
    total = [0.0] * score.length
    for note in score.notes:
        key = (note.voice, note.pitch, note.length)
        if key not in played:
            played[key] = _tone(tables[note.voice], note.pitch, note.length, _VOLUMES[note.voice])
        end = note.start + note.length
        total[note.start : end] = map(add, total[note.start : end], played[key])
    scale = LOUDEST / max(map(abs, total))
    return array("h", [round(sample * scale) for sample in total])


def _table(harmonics: Sequence[float]) -> list[float]:
    """One period of a tone."""
    turn = 2 * math.pi / TABLE_SIZE
    return [
        sum(loud * math.sin(turn * place * number) for number, loud in enumerate(harmonics, 1))
        for place in range(TABLE_SIZE)
    ]


def _tone(table: Sequence[float], pitch: int, length: int, volume: float) -> list[float]:
    """A note of the table's tone, shaped by attack, decay, sustain and release."""
    step = round(440 * 2 ** ((pitch - 69) / 12) * TABLE_SIZE / SAMPLE_RATE * 65_536)  # 16.16 fixed point
    mask = TABLE_SIZE - 1
    places = range(0, step * length, step)
    shape = _envelope(length, volume)
    return [table[place >> 16 & mask] * loud for place, loud in zip(places, shape, strict=True)]


def _envelope(length: int, volume: float) -> list[float]:
    """15 ms up, 100 ms down to 65 %, and the last fifth down to silence, so that no note clicks."""
    attack = min(length // 4, SAMPLE_RATE * 15 // 1000)
    decay = min(length // 4, SAMPLE_RATE // 10)
    release = length // 5
    hold = length - attack - decay - release
    slopes = (
        [volume / attack] * attack
        + [-0.35 * volume / decay] * decay
        + [0.0] * hold
        + [-0.65 * volume / release] * release
    )
    return list(accumulate(slopes))


def _step(scale: Sequence[int], degree: int) -> int:
    """Semitones above the tonic of a degree of the scale, counted from 0."""
    octave, place = divmod(degree, len(scale))
    return 12 * octave + scale[place]


def _wav(samples: "array[int]") -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE)
        out.writeframes(samples.tobytes())  # wave turns the bytes round itself on a big-endian machine
    return file.getvalue()


_MAJOR = (0, 2, 4, 5, 7, 9, 11)
_MINOR = (0, 2, 3, 5, 7, 8, 10)
_MINOR_MOODS = frozenset({"sad", "epic"})
_PROGRESSIONS = ((0, 4, 5, 3), (0, 5, 3, 4), (0, 3, 4, 0), (5, 3, 0, 4), (0, 3, 5, 4))
_TEMPOS: dict[Mood, int] = {
    "happy": 116, "romantic": 84, "calm": 76, "energetic": 136, "sad": 72, "epic": 96,
}  # fmt: skip
_LEADS: dict[Genre, tuple[float, ...]] = {
    "pop": (1.0, 0.5, 0.25, 0.12),
    "rock": (1.0, 0.7, 0.55, 0.4, 0.3, 0.2),
    "folk": (1.0, 0.3, 0.4, 0.1, 0.15),
    "jazz": (1.0, 0.1, 0.5, 0.05, 0.25),
    "classical": (1.0, 0.45, 0.3, 0.2, 0.1, 0.05),
    "electronic": (1.0, 0.0, 0.33, 0.0, 0.2, 0.0, 0.14),
}
_CHORD_TONE = (1.0, 0.25, 0.1)
_BASS_TONE = (1.0, 0.4, 0.1)
_VOLUMES = {"lead": 0.9, "chord": 0.3, "bass": 0.6}
