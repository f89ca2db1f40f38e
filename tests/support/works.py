"""A claimed run of one attempt, as policies see it, without a journal behind it."""

from collections.abc import Callable
from typing import Any

from broker.actor import Actor
from broker.journal.claimed import ClaimedRun
from broker.policies import Policies
from broker.work import Work
from schemas import Event, uuid7, wrap


def work_of(
    fn: Callable[..., object], event: Event, policies: Policies | None = None, **claimed: Any
) -> Work:
    """`claimed` are fields of the ClaimedRun; `traceparent` and `tracestate` go into the envelope."""
    actor: Actor[Any, Any] = Actor(fn, policies or Policies())
    envelope = wrap(
        event,
        source="tests",
        traceparent=claimed.pop("traceparent", None),
        tracestate=claimed.pop("tracestate", None),
    )
    return Work(
        actor, ClaimedRun(uuid7(), actor.name, envelope, 1, claimed.pop("attempt", 1), event, **claimed)
    )
