"""The typed Failure that an actor's `on_failure` hears: it leaves with the commit of the dead letter."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from opentelemetry.trace import get_current_span

from broker.broker import CallboardBroker
from broker.codec import encode
from broker.journal.intents import ClaimedRun, DeadLetter, End, FailedAttempt, Outgoing
from schemas import Envelope, FailedEvent, Failure, derived, wrap


class Failures:
    """Tells of failed runs. The failure of an actor that hears a failure starts none."""

    def __init__(self, broker: CallboardBroker, source: str) -> None:
        self._broker = broker
        self._source = source

    def crashed(self, claimed: ClaimedRun) -> End:
        """The end of a run that has killed its worker too often."""
        text = f"its worker died {claimed.crashes} times while running it; look for a memory limit, a native crash or os._exit"
        letter = DeadLetter("crashed its worker", text, queue=claimed.actor)
        return End("failed", reason=letter.reason, dead=letter, outgoing=self.told(claimed, letter))

    def given_up(self, claimed: ClaimedRun, reason: str, attempt: FailedAttempt) -> End:
        """The end of a run whose last attempt failed."""
        letter = DeadLetter(reason, attempt.error, queue=claimed.actor, step=attempt.step)
        return End("failed", reason=reason, failure=attempt, dead=letter, outgoing=self.told(claimed, letter))

    def told(self, claimed: ClaimedRun, letter: DeadLetter) -> list[Outgoing]:
        """What leaves for the `on_failure` of the run's actor: one message, straight to its queue, or none."""
        actor = self._broker.find_actor(claimed.actor)
        if actor is None or actor.on_failure is None or claimed.envelope.type == Failure.event_type:
            return []
        envelope = claimed.envelope
        id = derived(claimed.id, claimed.rerun, Failure.event_type, 0)
        traceparent, tracestate = self._context(envelope, id)
        told = wrap(
            _failure(claimed, letter),
            source=self._source,
            id=str(id),
            correlation_id=envelope.correlation_id,
            causation_id=envelope.id,
            traceparent=traceparent,
            tracestate=tracestate,
        )
        return [
            Outgoing(
                id, replace(encode(told), routing_key=self._broker.queue_of(actor.on_failure), direct=True)
            )
        ]

    def _context(self, envelope: Envelope, id: UUID) -> tuple[str | None, str | None]:
        """A publish span under the attempt that failed; a takeover has no attempt, so there the event's own context."""
        if get_current_span().get_span_context().is_valid:
            return self._broker.traced(Failure.event_type, id)
        return envelope.traceparent, envelope.tracestate


def _failure(claimed: ClaimedRun, letter: DeadLetter) -> Failure:
    return Failure(
        actor=claimed.actor,
        run_id=claimed.id,
        event=_event(claimed.envelope),
        reason=letter.reason,
        error=letter.error,
        attempts=claimed.attempt,
        dead_letter_id=letter.id,
        failed_at=datetime.now(UTC),
    )


def _event(envelope: Envelope) -> FailedEvent:
    return FailedEvent(
        id=envelope.id,
        source=envelope.source,
        type=envelope.type,
        version=envelope.version,
        data=json.loads(envelope.data),
    )
