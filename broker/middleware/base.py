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
from dataclasses import dataclass, field
from typing import Any, ClassVar

import dramatiq
from psycopg import Cursor

from broker.actor import Actor
from broker.journal.doors import Asked, Left
from broker.journal.intents import Outgoing
from broker.policies import Policies
from broker.topology import Topology
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


@dataclass(slots=True)
class Visit:
    """One batch at the doors: the runs that ask, and those that leave their worker in the same commit. What a door appends to
    `leaving` is sent once it is committed."""

    cursor: Cursor
    asked: Sequence[Asked]
    left: list[Left]
    actors: Mapping[str, Actor[Any, Any]]
    topology: Topology
    leaving: list[Outgoing] = field(default_factory=list[Outgoing])

    def starting(self) -> list[Asked]:
        """Those about to start an attempt, and not refused yet."""
        return [run for run in self.asked if run.start and run.status is None]

    def policies(self, run: Asked) -> Policies:
        return self.actors[run.actor].policies


class Door(Policy, ABC):
    """A policy that decides when. It fails closed: a run at whose door an error was raised is parked, not started."""

    minds_left: ClassVar[bool] = False
    """Whether it wants to know of runs that have left their worker."""

    @abstractmethod
    def guards(self, actor: Actor[Any, Any]) -> bool:
        """Whether it has a say in this actor's runs; asked once, at boot."""

    def guards_now(self) -> bool:
        """Whether it has a say in every actor's runs at this moment; asked for each claim, so it must cost nothing."""
        return False

    @abstractmethod
    def ask(self, visit: Visit) -> None:
        """Postpone, skip or give up what may not start now. Runs inside the claim's transaction; must not commit."""

    def settle(self, visit: Visit) -> None:
        """Take back what it gave to runs that a later door has refused. Called when all doors have been asked."""
