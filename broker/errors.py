"""Every error Callboard raises.

    CallboardError
    ├── ConfigurationError        the code or the settings are wrong: found at `callboard check` and at boot
    │   └── TopologyMismatchError a queue exists with other arguments
    ├── EventError                an event cannot be accepted
    │   ├── UndecodableError      bytes that are no CloudEvent
    │   ├── InvalidEventError     the payload does not fit its type
    │   ├── UnknownEventError     a type or version nobody declared
    │   └── EventTooLargeError    past the hard size limit
    ├── TransportUnavailableError the transport's server cannot be reached
    ├── PublishError              not confirmed: it may or may not have arrived, publish the same event again
    │   └── PublishRefusedError   RabbitMQ does not let us: the same event again is refused again, until somebody gives the right
    ├── JournalError              a record was refused by PostgreSQL and is not committed
    ├── StepFailed                a step used up its own retries
    ├── InvokeFailed              an invoked run did not do it
    ├── TokenError                a realtime token does not open this channel
    ├── SignatureError            a webhook's delivery is not signed by who it says
    ├── CodeChangedError          a stored result or event no longer fits the code
    └── NotFoundError             no such run, event or dead letter

What an actor raises to steer its run stands in `broker/signals.py`.
"""

from uuid import UUID


class CallboardError(Exception):
    """The root of all errors raised by Callboard."""


class ConfigurationError(CallboardError):
    """The code or the settings are wrong; the message says what to change."""


class TopologyMismatchError(ConfigurationError):
    """A queue or exchange exists with other arguments than declared."""


class EventError(CallboardError):
    """An event cannot be accepted. `field` names the faulty place, or is None for the whole."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class UndecodableError(EventError):
    """The bytes are no CloudEvent."""


class InvalidEventError(EventError):
    """The payload does not fit its declared type."""


class UnknownEventError(EventError):
    """No event of this type and version is declared here."""


class EventTooLargeError(EventError):
    """The event is larger than the hard limit."""


class TransportUnavailableError(CallboardError):
    """The transport's server cannot be reached."""


class PublishError(CallboardError):
    """The hand-over was not confirmed: the event may or may not have arrived. Publishing it again is safe: its id is kept."""


class PublishRefusedError(PublishError):
    """The user we connect as may not publish this type. It has not arrived, and is kept nowhere: a right that is lacking is for
    a person to give, not to be got around by way of the outbox."""


class JournalError(CallboardError):
    """PostgreSQL refused a record; nothing of it is committed."""


class StepFailed(CallboardError):  # noqa: N818  the name an author writes in `except`
    """A step with retries of its own has used them up, or met a NonRetriable. `error` tells its last error."""

    def __init__(self, step: str, tries: int, error: str) -> None:
        super().__init__(f"step {step!r} failed for good after {tries} tries: {error}")
        self.step = step
        self.tries = tries
        self.error = error


class InvokeFailed(CallboardError):  # noqa: N818  the name an author writes in `except`
    """An invoked run has failed, was skipped or cancelled, or did not end in time (`timed out`; then it goes on by itself).

    `reason` is the word of its dead letter, `dead_letter_id` that letter where there is one.
    """

    def __init__(self, actor: str, reason: str, error: str = "", dead_letter_id: UUID | None = None) -> None:
        letter = f"; dead letter {dead_letter_id}" if dead_letter_id else ""
        super().__init__(
            f"the invoked run of {actor} ended as {reason!r}{': ' if error else ''}{error}{letter}"
        )
        self.actor = actor
        self.reason = reason
        self.error = error
        self.dead_letter_id = dead_letter_id


class TokenError(CallboardError):
    """A token does not open this channel. `reason` is `missing`, `invalid`, `expired` or `channel`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class SignatureError(CallboardError):
    """The bytes of a delivery are not signed with one of our secrets, or not now. The message is for our log: the sender is
    told nothing."""


class CodeChangedError(CallboardError):
    """A stored result or event no longer validates against the code that reads it."""


class NotFoundError(CallboardError):
    """No row with this id."""
