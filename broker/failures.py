"""The typed Failure that an actor's `on_failure` hears: it leaves with the commit of the dead letter."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import structlog
from opentelemetry.trace import get_current_span

from broker.broker import CallboardBroker
from broker.codec import encode
from broker.journal.claimed import ClaimedRun
from broker.journal.intents import DeadLetter, End, FailedAttempt, Outgoing
from broker.transports.base import WireMessage
from schemas import Envelope, FailedEvent, Failure, derived, wrap

log = structlog.get_logger(__name__)


REFUSALS = {
    "expired": "the event was older than the actor's max_age before it could start; replay it if it is still worth doing",
    "timed out": "the run took longer than the actor's deadline, waiting included; a replay gives it the whole time again",
}
"""What a dead letter of a run says that no attempt has failed."""


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

    def refused(self, claimed: ClaimedRun, reason: str) -> End:
        """The end of a run that a door gave up before it was started."""
        letter = DeadLetter(reason, REFUSALS.get(reason, reason), queue=claimed.actor)
        return End("failed", reason=reason, dead=letter, outgoing=self.told(claimed, letter))

    def told(self, claimed: ClaimedRun, letter: DeadLetter) -> list[Outgoing]:
        """What leaves for the `on_failure` of the run's actor: one message, straight to its queue, or none."""
        actor = self._broker.find_actor(claimed.actor)
        if actor is None or actor.on_failure is None or claimed.envelope.type == Failure.event_type:
            return []
        id = derived(claimed.id, claimed.rerun, Failure.event_type, 0)
        context = self._context(claimed.envelope, id)
        try:
            message = self._message(claimed, letter, id, context, whole=True)
        except Exception as error:
            # A payload at the size limit, a number that only jsonb keeps: the failure is told without it.
            log.warning("failure_told_without_its_event", run_id=str(claimed.id), error=type(error).__name__)
            message = self._message(claimed, letter, id, context, whole=False)
        return [
            Outgoing(id, replace(message, routing_key=self._broker.queue_of(actor.on_failure), direct=True))
        ]

    def _message(
        self,
        claimed: ClaimedRun,
        letter: DeadLetter,
        id: UUID,
        context: tuple[str | None, str | None],
        *,
        whole: bool,
    ) -> WireMessage:
        envelope = claimed.envelope
        told = wrap(
            _failure(claimed, letter, _event(envelope) if whole else None),
            source=self._source,
            id=str(id),
            subject=envelope.subject,
            correlation_id=envelope.correlation_id,
            causation_id=envelope.id,
            traceparent=context[0],
            tracestate=context[1],
        )
        return encode(told)

    def _context(self, envelope: Envelope, id: UUID) -> tuple[str | None, str | None]:
        """A publish span under the attempt that failed; a takeover has no attempt, so there the event's own context."""
        if get_current_span().get_span_context().is_valid:
            return self._broker.traced(Failure.event_type, id)
        return envelope.traceparent, envelope.tracestate


def _failure(claimed: ClaimedRun, letter: DeadLetter, event: FailedEvent | None) -> Failure:
    return Failure(
        actor=claimed.actor,
        run_id=claimed.id,
        event=event,
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
