"""The event: a fact with a type and a version; one pydantic model is its schema, its trigger and its payload.

class PageScanRequested(Event, type="page.scan.requested", version=1, aliases=("page/scan.requested",)):
    page_id: UUID
"""

import re
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import InitErrorDetails, PydanticCustomError

from .errors import DeclarationError
from .payload import fault_in

Audience = Literal["house", "outside"]

MAX_TYPE_BYTES = 255
"""A type is a routing key, and AMQP gives those one length byte."""

_TYPE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_RESERVED = frozenset({"event_type", "event_version", "event_aliases", "event_audience"})

Recorder = Callable[[type["Event"]], None]
recorders: list[Recorder] = []
"""Who is told of a declared class: the last one. `registry.py` puts the default registry here, a test a fresh
one."""


class Part(BaseModel):
    """A typed part of an event: frozen, camelCase accepted, snake_case published, unknown fields ignored."""

    model_config = ConfigDict(
        frozen=True,
        # Forward compatible: a newer publisher may say more than we read.
        extra="ignore",
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        allow_inf_nan=False,
        # Errors name fields as we publish them, and never show what was sent.
        loc_by_alias=False,
        hide_input_in_errors=True,
    )


class Event(Part):
    """A fact, immutable, typed, versioned.

    `type` is dotted lower snake_case; a class without one is an abstract base and has no `event_type`.
    `aliases` are names that other applications use for it. `audience="outside"` marks an event that nobody in
    the house needs to hear.

    Refuses NUL characters, integers beyond 64 bits and numbers that are not finite, anywhere inside."""

    event_type: ClassVar[str]
    event_version: ClassVar[int]
    event_aliases: ClassVar[tuple[str, ...]] = ()
    event_audience: ClassVar[Audience] = "house"

    def __init_subclass__(
        cls,
        *,
        type: str | None = None,
        version: int = 1,
        aliases: tuple[str, ...] = (),
        audience: Audience = "house",
        **options: Any,  # pydantic's own class options, passed on
    ) -> None:
        super().__init_subclass__(**options)
        _refuse_misdeclared(cls, type, version, audience)
        if type is not None:
            cls.event_type = type
            cls.event_version = version
            cls.event_aliases = tuple(aliases)
            cls.event_audience = audience

    @classmethod
    def __pydantic_init_subclass__(cls, *, type: str | None = None, **_: Any) -> None:
        taken = _RESERVED & cls.model_fields.keys()
        if taken:
            raise DeclarationError(
                f"{_named(cls)}: {sorted(taken)[0]!r} is a fact of the class: name the field otherwise"
            )
        if type is not None:
            recorders[-1](cls)

    @model_validator(mode="after")
    def _refuse_unstorable(self) -> Self:
        for name, value in self.__dict__.items():
            fault = fault_in(value)
            if fault:
                path, message = fault
                rule = PydanticCustomError("unstorable", "{rule}", {"rule": message})
                error = InitErrorDetails(type=rule, loc=(name, *path), input=None)
                raise ValidationError.from_exception_data(type(self).__name__, [error], hide_input=True)
        return self


def type_fault(name: str) -> str | None:
    """Why this cannot be the type of an event; None if it can."""
    if len(name) > MAX_TYPE_BYTES:
        return f"is longer than {MAX_TYPE_BYTES} bytes"
    # ASCII only, so that characters are bytes.
    if not _TYPE.fullmatch(name):
        return "must be dotted lower snake_case, like 'page.scan.requested'"
    return None


def _refuse_misdeclared(cls: type[Event], name: str | None, version: int, audience: str) -> None:
    if name is None:
        if hasattr(cls, "event_type"):
            raise DeclarationError(
                f"{_named(cls)}: a class below {cls.event_type!r} declares a type= of its own"
            )
        return
    fault = type_fault(name)
    if fault:
        raise DeclarationError(f"{_named(cls)}: type {name[:80]!r} {fault}")
    if not 1 <= version <= 32767:
        raise DeclarationError(f"{_named(cls)}: version {version} must be between 1 and 32767")
    if audience not in ("house", "outside"):
        raise DeclarationError(f"{_named(cls)}: audience {audience!r} must be 'house' or 'outside'")


def _named(cls: type[Event]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
