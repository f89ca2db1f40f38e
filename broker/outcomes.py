"""What comes out of an attempt, as data: completed, suspended, retried, dead. Nothing here does I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from schemas import Event

Value = TypeVar("Value", covariant=True)
Published = TypeVar("Published", bound=Event, covariant=True)


@dataclass(frozen=True, slots=True)
class Result(Generic[Value, Published]):
    """Return this to give the run a result and publish events: `Result(value, publish=[…])`."""

    value: Value
    publish: Sequence[Published] = ()


@dataclass(frozen=True, slots=True)
class Ok(Generic[Value]):
    """An item of `run.map` that succeeded."""

    value: Value


@dataclass(frozen=True, slots=True)
class Failed:
    """An item of `run.map` that used up its retries, or was NonRetriable."""

    error: str
