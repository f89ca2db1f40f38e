"""Policies as an author writes them: values with their limits checked where they are declared."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from broker.errors import ConfigurationError
from broker.keys import Key, resolve
from schemas import Event


@dataclass(frozen=True, slots=True)
class Throttle:
    """At most `limit` starts per `per` and key; the excess waits, in order. `burst` starts may come at once.

    A start rate, not a number at once: ten starts a minute can be ten runs at once, or a hundred.
    """

    limit: int
    per: timedelta
    burst: int = 1
    key: Key | None = None

    def __post_init__(self) -> None:
        if self.limit < 1 or self.burst < 1 or self.per <= timedelta(0):
            raise ConfigurationError(
                f"Throttle({self.limit}, per={self.per}, burst={self.burst}): all must be positive"
            )

    @property
    def interval(self) -> timedelta:
        """The time between two starts at the full rate."""
        return self.per / self.limit

    def key_of(self, heard: tuple[type[Event], ...]) -> Callable[[Event], str]:
        return _key_function(self.key, heard)


@dataclass(frozen=True, slots=True)
class Idempotency:
    """One run per key for `ttl` from the claim, and at least until that run ends. The excess is skipped as a duplicate.

    The key is free again if its run becomes a dead letter, unless `keep`.
    """

    key: Key
    ttl: timedelta = timedelta(days=1)
    keep: bool = False

    def __post_init__(self) -> None:
        if self.ttl <= timedelta(0):
            raise ConfigurationError(f"Idempotency(ttl={self.ttl}): must be positive")

    def key_of(self, heard: tuple[type[Event], ...]) -> Callable[[Event], str]:
        return _key_function(self.key, heard)


@lru_cache(maxsize=1024)
def _key_function(key: Key | None, heard: tuple[type[Event], ...]) -> Callable[[Event], str]:
    return (lambda _event: "") if key is None else resolve(key, *heard)
