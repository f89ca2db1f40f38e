"""What a policy is: a dramatiq middleware that declares its actor option and has its say at one of three places.

    decides *when*   Door.ask       inside the claim's transaction, for a batch of runs
    wraps the body   Policy.around  in the worker thread, or in the coroutine
    decides *after*  Backoff        what a failure means

Dramatiq's own hooks (`before_process_message` …) are emitted for every run too, so any dramatiq middleware can be appended. A
hook may refuse or observe; it never holds the only copy of an outcome, and an error in a before hook fails the attempt.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

import dramatiq
from psycopg import Cursor

from broker.actor import Actor
from broker.journal.doors import Asked
from broker.work import Work


class Policy(dramatiq.Middleware):
    """Base of every policy. `option` names the keyword of `@actor(…)` that it reads."""

    option: ClassVar[str] = ""

    @property
    def actor_options(self) -> set[str]:
        return {self.option} if self.option else set()

    def around(self, work: Work) -> AbstractContextManager[None]:
        """Entered before the body, left after it, never around the commit that records the outcome."""
        return nullcontext()


class Door(Policy, ABC):
    """A policy that decides when. It fails closed: a run at whose door an error was raised is parked, not started."""

    @abstractmethod
    def guards(self, actor: Actor) -> bool:  # type: ignore[type-arg]
        """Whether it has a say in this actor's runs; asked once, at boot."""

    @abstractmethod
    def ask(self, cursor: Cursor, asked: Sequence[Asked], actors: Mapping[str, Actor]) -> None:  # type: ignore[type-arg]
        """Postpone or skip what may not start now. Runs inside the claim's transaction; must not commit."""
