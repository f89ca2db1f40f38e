"""The event that says an actor has given up on another event, published once the dead letter is committed."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BeforeValidator, Field, JsonValue

from .event import Event, Part
from .marks import PERSONAL

MAX_ERROR = 4000


def _told(value: Any) -> Any:
    """Errors come from anywhere: what cannot be kept is cut, for a failure must never fail itself."""
    return value.replace("\0", "\ufffd")[:MAX_ERROR] if isinstance(value, str) else value


class FailedEvent(Part):
    """The event that failed, whole."""

    id: str
    source: str
    type: str
    version: int
    data: Annotated[dict[str, JsonValue], PERSONAL]


class Failure(Event, type="callboard.failure", audience="outside"):
    """`event` is None where the delivery was no event at all, `run_id` where it never became a run. `reason`
    is the word of the dead letter, `error` the last error as stored."""

    actor: str
    run_id: UUID | None = None
    event: FailedEvent | None = None
    reason: Annotated[str, BeforeValidator(_told)]
    error: Annotated[str, BeforeValidator(_told)] = ""
    attempts: int = Field(ge=0)
    dead_letter_id: UUID
    failed_at: AwareDatetime
