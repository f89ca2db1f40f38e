"""What may be said: event types, their envelope, and the registry that knows them all.

Needs pydantic and nothing else, and does no I/O. Domains (`pages`, `orders` …) are imported by whoever speaks
of them."""

from .envelope import Envelope, wrap
from .errors import DeclarationError, InvalidPayload, SchemaError, UnknownType, UnknownVersion
from .event import Event, Part, type_fault
from .ids import derived, uuid4, uuid7
from .marks import PERSONAL, SECRET, SUBJECT
from .payload import JsonObject, parse
from .registry import Registry, find, isolated, normalise, registered, registry, upcaster, validate

# isort: split
# The registry listens before the first event is declared.
from .failure import FailedEvent, Failure

__all__ = [
    "Event",
    "Part",
    "Envelope",
    "wrap",
    "SECRET",
    "PERSONAL",
    "SUBJECT",
    "Failure",
    "FailedEvent",
    "Registry",
    "registry",
    "registered",
    "find",
    "normalise",
    "validate",
    "upcaster",
    "isolated",
    "uuid4",
    "uuid7",
    "derived",
    "JsonObject",
    "parse",
    "type_fault",
    "SchemaError",
    "DeclarationError",
    "UnknownType",
    "UnknownVersion",
    "InvalidPayload",
]
