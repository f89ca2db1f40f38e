"""One attempt on its way through the process: what policies around the body see."""

from dataclasses import dataclass, field
from uuid import UUID

from broker.actor import Actor
from broker.journal.claimed import ClaimedRun
from broker.run.guard import OpenGuard
from broker.run.tools import Guard


@dataclass(slots=True)
class Work:
    """A claimed run, its actor, and the guard that a time limit arms. `error` is what came out of the body, if anything did."""

    actor: Actor  # type: ignore[type-arg]
    claimed: ClaimedRun
    guard: Guard = field(default_factory=OpenGuard)
    error: BaseException | None = None
    asynchronous_lane: bool = False
    """Whose room it holds: the lane of the queue it came from."""
    began: float = 0.0
    """When its body was entered, by the monotonic clock; 0 before."""
    thread: int = 0
    """The worker thread that performs it; 0 for a coroutine."""
    step: str | None = None
    """The step in which the body failed."""
    settled: bool = False
    """An outcome was handed to the journal, or the run is not ours any more."""
    replaced: bool = False
    """Its thread is stuck and was replaced: the slot has been given back already."""
    cancelled: bool = False
    """The run was cancelled while this process performs it: nothing of the attempt counts any more."""

    @property
    def key(self) -> tuple[UUID, int]:
        """Run and fence: two attempts of one run may be here at once, the earlier one fenced off."""
        return self.claimed.id, self.claimed.fence
