"""Marks on fields whose values are nobody's business but the actor's: they are hidden in every error, log line and screen.

class LetterAsked(Event, type="letter.asked"):
    customer_id: Annotated[str, SUBJECT]
    address: Annotated[str, PERSONAL]

A mark anywhere in a field's annotation (`list[Annotated[str, PERSONAL]]`, a field of a `Part`) counts. Schemas carry it as
`x-sensitive` and `x-subject`, so that services in other languages see it too.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, cast, get_args, get_origin

from pydantic import AliasChoices, BaseModel, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

HIDDEN = "***"
LEAST_CHARACTERS = 4
"""Of a value that is looked for in texts: a shorter one would make holes everywhere."""
_COLLECTIONS = (Mapping, list, tuple, set, frozenset)


@dataclass(frozen=True, slots=True)
class Mark:
    """What a field holds: a secret, something about a person, or the id of the person whom the event is about."""

    word: Literal["secret", "personal", "subject"]

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        said: JsonSchemaValue = {"x-subject": True} if self.word == "subject" else {"x-sensitive": self.word}
        return {**handler(core), **said}


SECRET = Mark("secret")
PERSONAL = Mark("personal")
SUBJECT = Mark("subject")
"""An id: shown like any other, and what `callboard erase` looks for."""


@cache
def is_marked(model: type[BaseModel]) -> bool:
    """Whether any value of it has to be hidden."""
    return any(_hides(field) for part in _below(model, set()) for field in part.model_fields.values())


def marked_texts(model: BaseModel) -> tuple[str, ...]:
    """The values to hide, as texts, the longest first."""
    found = {text for text in _marked(model) if len(text) >= LEAST_CHARACTERS}
    return tuple(sorted(found, key=lambda text: (-len(text), text)))


def masked(model: type[BaseModel], data: Mapping[str, Any]) -> dict[str, Any]:
    """A payload with `***` for what is marked. It need not be valid; fields the model does not have are kept."""
    fields: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        fields |= dict.fromkeys((name, *_aliases(field)), field)
    return {key: value if key not in fields else _masked(fields[key], value) for key, value in data.items()}


def subject_fields(model: type[BaseModel]) -> list[str]:
    """The fields of an event that hold the id of the person whom it is about, as they are published."""
    return [name for name, field in model.model_fields.items() if SUBJECT in _marks(field)]


def _below(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """The model and all that it is made of, each once."""
    if model not in seen:
        seen.add(model)
        yield model
        for field in model.model_fields.values():
            for part in _parts(field):
                yield from _below(part, seen)


def _aliases(field: FieldInfo) -> list[str]:
    """All names it is also taken under."""
    other = field.validation_alias
    names = (field.alias, *(other.choices if isinstance(other, AliasChoices) else (other,)))
    return [name for name in names if isinstance(name, str)]


def _masked(field: FieldInfo, value: Any) -> Any:
    if value is None:
        return None
    if _hides(field):
        return HIDDEN
    for part in _parts(field):
        value = _masked_by(part, value)
    return value


def _masked_by(part: type[BaseModel], value: Any) -> Any:
    if isinstance(value, Mapping):
        return masked(part, cast("Mapping[str, Any]", value))
    if isinstance(value, list):
        return [_masked_by(part, item) for item in value]
    return value


def _marked(model: BaseModel) -> Iterator[str]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if _hides(field):
            yield from _leaves(value)
        else:
            for part in _models_in(value):
                yield from _marked(part)


def _models_in(value: object) -> Iterator[BaseModel]:
    if isinstance(value, BaseModel):
        yield value
    for item in _items(value):
        yield from _models_in(item)


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, _COLLECTIONS):
        for item in _items(value):
            yield from _leaves(item)
    elif not isinstance(value, bool | None):
        yield str(value)


def _items(value: object) -> Iterable[object]:
    """What a collection holds; nothing in any other value."""
    if isinstance(value, Mapping):
        return cast("Mapping[object, object]", value).values()
    return cast("Iterable[object]", value) if isinstance(value, _COLLECTIONS) else ()


def _hides(field: FieldInfo) -> bool:
    return any(mark is not SUBJECT for mark in _marks(field))


def _marks(field: FieldInfo) -> list[Mark]:
    return [*_only_marks(field.metadata), *_marks_in(field.annotation)]


def _marks_in(annotation: object) -> Iterator[Mark]:
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        yield from _only_marks(arguments[1:])
        arguments = arguments[:1]
    for argument in arguments:
        yield from _marks_in(argument)


def _only_marks(metadata: object) -> list[Mark]:
    return [each for each in cast("list[object]", metadata) if isinstance(each, Mark)]


def _parts(field: FieldInfo) -> list[type[BaseModel]]:
    return list(_parts_in(field.annotation))


def _parts_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _parts_in(argument)
