"""What a failed attempt means: another one later, or a dead letter."""

from dataclasses import dataclass
from datetime import timedelta

from broker.backoff import next_delay
from broker.errors import CodeChangedError, ConfigurationError, EventError, InvokeFailed, StepFailed
from broker.middleware.base import Policy
from broker.policies import Policies
from broker.signals import NonRetriable


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after `delay`."""

    delay: timedelta


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further attempt; `reason` names why on the dead letter."""

    reason: str


class Backoff(Policy):
    """Reads `retry`. Stands last: it decides about whatever came out of everything before it."""

    option = "retry"

    def decide(self, policies: Policies, attempt: int, error: BaseException) -> Retry | GiveUp:
        """`attempt` counts from 1, the first try included: 5 attempts are 4 retries."""
        if isinstance(error, StepFailed):
            return GiveUp("step failed")
        if isinstance(error, InvokeFailed):
            return GiveUp("invoked run failed")
        if isinstance(error, CodeChangedError):
            return GiveUp("code changed")
        if isinstance(error, EventError):
            return GiveUp("invalid event")
        if isinstance(error, ConfigurationError):
            return GiveUp("faulty code")
        delay = next_delay(policies.retry, attempt, error)
        if delay is None:
            return GiveUp("not retriable" if isinstance(error, NonRetriable) else "attempts used up")
        return Retry(delay)
