"""People: what is said when one of them is to be forgotten."""

from typing import Annotated

from pydantic import StringConstraints

from .event import Event
from .marks import SUBJECT


class PersonErasureRequested(Event, type="person.erasure.requested", audience="outside"):
    """`callboard erase` publishes it once the engine's own tables hold nothing about the person any more."""

    person_id: Annotated[str, StringConstraints(min_length=1, max_length=255), SUBJECT]
