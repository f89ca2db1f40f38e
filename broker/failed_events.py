"""What a failure actor needs first: the event that was given up, typed."""

import json
from typing import TypeVar, overload

from broker.signals import NonRetriable
from schemas import Event, Failure, SchemaError, validate

A = TypeVar("A", bound=Event)
B = TypeVar("B", bound=Event)
C = TypeVar("C", bound=Event)


@overload
def failed_event(failure: Failure, kind: type[A], /) -> A: ...
@overload
def failed_event(failure: Failure, kind: type[A], other: type[B], /) -> A | B: ...
@overload
def failed_event(failure: Failure, kind: type[A], other: type[B], third: type[C], /) -> A | B | C: ...
def failed_event(failure: Failure, *kinds: type[Event]) -> Event:
    """The event, as it was when it failed. Raises NonRetriable where it is of no such kind, or cannot be read any more: the dead
    letter itself is kept, and names both."""
    told = failure.event
    try:
        found = validate(told.type, told.version, json.dumps(told.data).encode()) if told else None
    except SchemaError as error:
        raise NonRetriable(
            f"dead letter {failure.dead_letter_id} holds an event that cannot be read"
        ) from error
    if not isinstance(found, kinds):
        wanted = ", ".join(kind.event_type for kind in kinds)
        raise NonRetriable(f"dead letter {failure.dead_letter_id} is about none of {wanted}")
    return found
