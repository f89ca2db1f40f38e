"""What a round is given and what it leaves: servers, outcomes, and the error of a round that means nothing."""

from dataclasses import dataclass
from typing import Literal

from broker import CallboardError

Side = Literal["ours", "plain"]


class BenchError(CallboardError):
    """A round was not done, or not once: its figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the bench runs, and whose CPU is whose."""

    dsn: str
    amqp: str
    postgres_pid: int
    rabbit_pid: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one round. Times in seconds, CPU in seconds of all its events, `told` as the bodies told it."""

    events: int
    enqueue: float = 0.0
    drain: float = 0.0
    cpu_client: float = 0.0
    cpu_rabbit: float = 0.0
    cpu_postgres: float = 0.0
    peak_bytes: int = 0
    grown_bytes: int = 0
    told: tuple[float, ...] = ()

    @property
    def rate(self) -> float:
        """Events a second, publishing included."""
        return self.events / (self.enqueue + self.drain)

    @property
    def drain_rate(self) -> float:
        return self.events / self.drain
