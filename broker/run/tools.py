"""What a run's verbs need from the process they run in."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

import structlog
from psycopg import Connection

from broker.journal.intents import Answer, Intent, Record


class Ledger(Protocol):
    """The journal, as verbs see it."""

    def submit(self, intent: Intent, settle: "Callable[[Answer | BaseException], None]") -> None: ...


class Guard(Protocol):
    """Knows whether the thread is in user code. A time limit interrupts there and nowhere else."""

    @property
    def deadline(self) -> timedelta | None:
        """What is left of the attempt's time limit now; None without one."""
        ...

    def user_code(self) -> AbstractContextManager[None]:
        """Inside `paused`: user code again, so that what was opened can be closed out of the reach of interrupts."""
        ...

    def paused(self) -> AbstractContextManager[None]:
        """Our own code: no interrupt lands here, and the time spent does not count."""
        ...


class Pool(Protocol):
    """Connections for effects of the author's own; opened after the process has forked."""

    def getconn(self, timeout: float | None = None) -> Connection: ...
    def putconn(self, conn: Connection) -> None: ...


@dataclass(slots=True)
class Tools:
    """Shared by all runs of a process but for `guard`, which belongs to one attempt."""

    ledger: Ledger
    guard: Guard
    pool: Pool
    record: Callable[[Connection, Record], bool]
    """Writes a record inside an open transaction and commits that; False when the fence is lost, and nothing is committed."""
    span: Callable[[str], AbstractContextManager[Any]]
    """Spans the body of a step."""
    log: structlog.stdlib.BoundLogger = field(default_factory=lambda: structlog.get_logger("run"))
