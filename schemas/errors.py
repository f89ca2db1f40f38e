"""What can be wrong with an event, before anybody has acted on it.

    SchemaError
    ├── DeclarationError   an event class is declared wrongly: found at import
    ├── UnknownType        nobody declared this event type
    ├── UnknownVersion     the type is known, this version of it is not
    └── InvalidPayload     the data does not fit its type

No message ever holds a value of a payload: paths and rules only.
"""

from collections.abc import Sequence


class SchemaError(Exception):
    """The root of the errors of this room."""


class DeclarationError(SchemaError, ValueError):
    """An event class is declared wrongly; the message names the class and says what to change."""


class UnknownType(SchemaError, LookupError):  # noqa: N818  reads as the reason of a dead letter
    """No event of this type is declared here."""


class UnknownVersion(SchemaError, LookupError):  # noqa: N818
    """The type is known, but neither a class nor upcasters lead from this version to a known one."""


class InvalidPayload(SchemaError, ValueError):  # noqa: N818
    """The data does not fit its type. `fields` are the dotted paths at fault, `data` standing for the
    whole; `rules` say, for each, what it should be."""

    def __init__(self, message: str, fields: Sequence[str], rules: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.fields = tuple(fields)
        self.rules = tuple(rules)

    @property
    def faults(self) -> Sequence[tuple[str, str]]:
        """Each path with its rule."""
        if self.rules:
            return tuple(zip(self.fields, self.rules, strict=True))
        return tuple((field, str(self).removeprefix(f"{field}: ")) for field in self.fields)
