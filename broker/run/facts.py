"""What both kinds of run tell and record without waiting for anything."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

import structlog
from pydantic import BaseModel

from broker.run.core import Core
from broker.run.tools import Tools
from broker.run.waits import Waits
from schemas import Event

E = TypeVar("E", bound=Event)


class Facts:
    """The part of `Run` and `AsyncRun` that does no I/O."""

    __slots__ = ("_core", "_log", "_tools", "_waits")

    def __init__(self, core: Core, tools: Tools) -> None:
        self._core = core
        self._tools = tools
        self._waits = Waits(core)
        self._log: structlog.stdlib.BoundLogger | None = None

    @property
    def log(self) -> structlog.stdlib.BoundLogger:
        """Bound to the run, its actor and the attempt. Made when it is first asked for: binding costs as much as a write."""
        if self._log is None:
            claimed = self._core.claimed
            self._log = self._tools.log.bind(
                run_id=str(claimed.id), actor=claimed.actor, attempt=claimed.attempt
            )
        return self._log

    @property
    def id(self) -> UUID:
        return self._core.claimed.id

    @property
    def attempt(self) -> int:
        """From 1. A retry counts; a resume after a wait or after its worker's death does not."""
        return self._core.claimed.attempt

    @property
    def event_id(self) -> str:
        return self._core.claimed.envelope.id

    def gathered(self, kind: type[E]) -> list[E]:
        """The events of this type that the run was made of, in the order in which they came: of an actor with `batch`, or
        `debounce` with `collect`, up to a thousand; of any other one."""
        return [event for event in self._core.gathered if isinstance(event, kind)]

    @property
    def correlation_id(self) -> str:
        """The id of the first event of the story."""
        return self._core.claimed.envelope.correlation_id

    @property
    def deadline(self) -> timedelta | None:
        """What is left of the time limit; None without one."""
        return self._tools.guard.deadline

    def idempotency_key(self, step: str, *parts: object) -> str:
        """The same for every attempt of this step: hand it to providers that honour such keys."""
        return self._core.idempotency_key(step, *parts)

    def write(self, statement: str, parameters: Mapping[str, object] | Sequence[object] = ()) -> None:
        """Execute this statement in the commit that ends the run, exactly once. For statements whose result is not needed."""
        self._core.write(statement, parameters)

    def publish(self, event: Event, *, delay: timedelta | None = None, subject: str | None = None) -> UUID:
        """Publish with the commit that ends the run; a failed attempt publishes nothing. Returns the event's id."""
        return self._core.publish(event, delay=delay, subject=subject)

    def broadcast(
        self, channel: str, data: BaseModel | Mapping[str, object], *, name: str | None = None
    ) -> None:
        """Tell those who listen to `channel` now, with the commit that completes the run: once, and never from a failed attempt.

        Who does not listen misses it: it is no event, and starts nothing. `name` is what a browser's EventSource calls the
        event: unless given, the type of an Event, else `message`.
        """
        self._core.broadcast(channel, data, name)
