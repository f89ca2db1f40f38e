"""One run for many events, as an author asks for it: after a pause (`Debounce`), or so many at a time (`Batch`)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.errors import ConfigurationError
from broker.keys import Key, key_function
from schemas import Event

MOST_GATHERED = 1_000
"""Events that one body gets: they are read, validated and held together, and with 256 KiB each that is 256 MB already."""


@dataclass(frozen=True, slots=True)
class Debounce:
    """One run once its key has been quiet for `wait`, and at the latest `max_wait` after the first event. Without
    `max_wait` a key that is never quiet never starts.

    The body gets the last event, the others are folded into its run. With `collect` it gets all of them from `run.gathered(…)`,
    and a thousand start it at once.
    """

    wait: timedelta
    key: Key | None = None
    max_wait: timedelta | None = None
    collect: bool = False

    def __post_init__(self) -> None:
        if self.wait <= timedelta(0):
            raise ConfigurationError(f"Debounce({self.wait}): must be positive")
        if self.max_wait is not None and self.max_wait < self.wait:
            raise ConfigurationError(
                f"Debounce({self.wait}, max_wait={self.max_wait}): that is shorter than the quiet time"
            )

    word = "debounce"

    @property
    def longest(self) -> timedelta | None:
        return self.max_wait

    @property
    def size(self) -> int | None:
        return MOST_GATHERED if self.collect else None

    @property
    def collects(self) -> bool:
        return self.collect

    def due_at(self, first_at: datetime, now: datetime) -> datetime:
        quiet = now + self.wait
        return quiet if self.max_wait is None else min(quiet, first_at + self.max_wait)

    def key_of(self, heard: tuple[type[Event], ...]) -> Callable[[Event], str]:
        return key_function(self.key, heard)


@dataclass(frozen=True, slots=True)
class Batch:
    """One run for up to `size` events of a key: it starts once it has them, and at the latest `within` after the first.

    The body gets the last event, and all of them, in the order in which they came, from `run.gathered(…)`.
    """

    size: int
    within: timedelta
    key: Key | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.size <= MOST_GATHERED or self.within <= timedelta(0):
            raise ConfigurationError(
                f"Batch({self.size}, within={self.within}): the size must be 2 to {MOST_GATHERED}, the time positive"
            )

    word = "batch"

    @property
    def longest(self) -> timedelta:
        return self.within

    @property
    def collects(self) -> bool:
        return True

    def due_at(self, first_at: datetime, now: datetime) -> datetime:
        return first_at + self.within

    def key_of(self, heard: tuple[type[Event], ...]) -> Callable[[Event], str]:
        return key_function(self.key, heard)


Gathering = Debounce | Batch
""" `longest` is how long a run may gather (None: for ever), `size` with how many events it starts at once."""
