"""A schedule as its author declares it: a name, a cron expression, and the event that each tick publishes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, get_type_hints

from broker.errors import ConfigurationError
from broker.schedules.timetable import Timetable
from schemas import Event

if TYPE_CHECKING:
    from periodiq import CronSpec

MOST_CAUGHT_UP = 1000
"""Ticks that one outage may leave to be made up for: they are published in one commit."""

_NAME = re.compile(r"[a-z][a-z0-9]*([-_.][a-z0-9]+)*")


class Missed(StrEnum):
    """What becomes of ticks that fell due while nobody was there to publish them."""

    SKIP = "skip"
    """Nothing: the next one is published when it is due."""
    ONE = "one"
    """The latest of them is published, once, however many there were."""
    ALL = "all"
    """Each is published, in order; of more than `catch_up` the latest."""


@dataclass(frozen=True, slots=True)
class Tick:
    """One due moment. `slot` is the moment it was due, in the schedule's time zone; it may be past."""

    schedule: str
    slot: datetime


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """`Schedule("nightly", cron("0 3 * * *"), RecomputeRequested(scope="all"), timezone="Europe/Berlin")`.

    `cron` is periodiq's, or the expression as text. `publishes` is the event, or a function that makes it from the Tick and is
    annotated with what it returns; it is called inside a transaction, so it must be quick and do nothing else.

    A tick later than `grace` was missed. What is older than `max_age` is never made up for.

    Raises ConfigurationError, naming the schedule, for whatever cannot work.
    """

    name: str
    cron: CronSpec | str
    publishes: Event | Callable[[Tick], Event]
    timezone: str = "UTC"
    missed: Missed = Missed.ONE
    grace: timedelta = timedelta(minutes=1)
    max_age: timedelta | None = None
    catch_up: int = 100
    app: str = ""
    """The package it was found in, as CALLBOARD_APPS names it. Set at boot."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or len(self.name) > 100:
            raise ConfigurationError(
                f"schedule {self.name!r}: name it in lower case, like 'nightly-recompute', in at most 100 characters"
            )
        if self.grace <= timedelta(0) or (self.max_age is not None and self.max_age <= timedelta(0)):
            raise ConfigurationError(f"schedule {self.name}: grace and max_age must be positive")
        if not 1 <= self.catch_up <= MOST_CAUGHT_UP:
            raise ConfigurationError(f"schedule {self.name}: catch_up must be between 1 and {MOST_CAUGHT_UP}")
        try:
            Timetable(self.expression, self.timezone)
        except ConfigurationError as error:
            raise ConfigurationError(f"schedule {self.name}: {error}") from error
        _ = self.kind

    @property
    def expression(self) -> str:
        """As the author wrote it."""
        return self.cron if isinstance(self.cron, str) else _text(self.cron)

    @property
    def kind(self) -> type[Event]:
        """The type of the event that each tick publishes. Raises ConfigurationError."""
        kind = type(self.publishes) if isinstance(self.publishes, Event) else self._returned()
        if not hasattr(kind, "event_type"):
            raise ConfigurationError(
                f"schedule {self.name}: {kind.__name__} declares no type=…, so it cannot be published"
            )
        return kind

    def event(self, tick: Tick) -> Event:
        """What this tick publishes. Raises whatever the author's function raises, and TypeError for another type of event."""
        if isinstance(self.publishes, Event):
            return self.publishes
        made = self.publishes(tick)
        if type(made) is not self.kind:
            raise TypeError(f"it made a {type(made).__name__}, but is annotated with {self.kind.__name__}")
        return made

    def _returned(self) -> type[Event]:
        fault = f"schedule {self.name}: publishes= is an event, or a function (tick: Tick) -> YourEvent"
        if not callable(self.publishes):
            raise ConfigurationError(fault)
        try:
            kind = get_type_hints(self.publishes).get("return")
        except (NameError, TypeError) as error:
            raise ConfigurationError(f"{fault}: its annotation cannot be resolved: {error}") from error
        if not (isinstance(kind, type) and issubclass(kind, Event)):
            raise ConfigurationError(f"{fault}; annotate what it returns")
        return kind


def _text(spec: CronSpec) -> str:
    """periodiq's object as text. One that was changed after it was parsed knows its fields only."""
    if spec.parsed_from is not None:
        return str(spec.parsed_from).strip()
    fields = [
        (spec.minute, 60),
        (spec.hour, 24),
        (spec.dom, 31),
        (spec.month, 12),
        ({day % 7 for day in spec.dow}, 7),
    ]
    return " ".join(
        "*" if len(values) == size else ",".join(str(value) for value in sorted(values))
        for values, size in fields
    )
