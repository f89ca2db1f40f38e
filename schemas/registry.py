"""The registry: which event types exist, their other names, and how older versions become the newest.

Importing an event class records it in the default registry; nothing else happens. An empty registry is valid.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json

from .errors import DeclarationError, InvalidPayload, UnknownType, UnknownVersion
from .event import Event, recorders
from .payload import JsonObject, parse, refuse_unstorable, told

Upcast = Callable[[JsonObject], JsonObject]
U = TypeVar("U", bound=Upcast)

_FOREIGN = str.maketrans("/:-", ".._")


class Registry:
    """Event classes by type and version."""

    def __init__(self) -> None:
        self._versions: dict[str, dict[int, type[Event]]] = {}
        self._newest: dict[str, int] = {}
        self._aliases: dict[str, str] = {}
        self._steps: dict[tuple[str, int], tuple[int, Upcast]] = {}

    def record(self, cls: type[Event]) -> None:
        """Raises DeclarationError if another class has this type and version, or if a name would mean two
        types."""
        name, version = cls.event_type, cls.event_version
        there = self._versions.get(name, {}).get(version, cls)
        if _named(there) != _named(cls):
            raise DeclarationError(
                f"event {name!r} version {version} is declared by {_named(there)} and by {_named(cls)}"
            )
        if name in self._aliases:
            raise DeclarationError(f"{_named(cls)}: {name!r} is already an alias of {self._aliases[name]!r}")
        self._aliases.update(self._aliases_of(cls))
        self._versions.setdefault(name, {})[version] = cls
        self._newest[name] = max(self._versions[name])

    def registered(self) -> tuple[type[Event], ...]:
        """Every class, sorted by type and version."""
        return tuple(
            cls for name in sorted(self._versions) for _, cls in sorted(self._versions[name].items())
        )

    def find(self, type: str, version: int | None = None) -> type[Event]:
        """The class of this version, or of the newest. Raises UnknownType or UnknownVersion."""
        name = self.normalise(type)
        newest = self._newest.get(name)
        if newest is None:
            raise UnknownType(f"no event of type {name[:255]!r} is declared here")
        cls = self._versions[name].get(newest if version is None else version)
        if cls is None:
            raise UnknownVersion(f"event {name!r} has no version {version}; the newest known is {newest}")
        return cls

    def normalise(self, name: str) -> str:
        """Our name for a type as another application writes it: `/` and `:` count as `.`, `-` as `_`, then
        aliases.

        An unknown name comes back with its separators changed."""
        if name in self._versions:
            return name
        plain = name.translate(_FOREIGN)
        return plain if plain in self._versions else self._aliases.get(plain, plain)

    def upcaster(self, newer: type[Event], *, from_version: int) -> Callable[[U], U]:
        """Declare a function that turns the data of `from_version` into that of `newer`; functions chain by
        themselves."""

        def declare(step: U) -> U:
            key = (newer.event_type, from_version)
            if not 1 <= from_version < newer.event_version:
                raise DeclarationError(
                    f"upcaster {step.__name__}: {from_version} is not below {newer.event_version}"
                )
            if key in self._steps and _named(self._steps[key][1]) != _named(step):
                other = _named(self._steps[key][1])
                raise DeclarationError(
                    f"{_named(step)}: {other} already upcasts {key[0]!r} from {from_version}"
                )
            self._steps[key] = (newer.event_version, step)
            return step

        return declare

    def validate(self, type: str, version: int, data: bytes, *, wanted: int | None = None) -> Event:
        """The event in its newest version, or in the `wanted` one that an actor hears.

        Older data is upcast; where no upcasters lead to the newest, data of a declared version is read as
        what it is. Raises UnknownType, UnknownVersion or InvalidPayload."""
        name = self.normalise(type)
        target = self.find(name, wanted)
        refuse_unstorable(data)
        if target.event_version != version:
            data, target = self._upcast(name, version, data, target)
        try:
            return target.model_validate_json(data)
        except ValidationError as error:
            raise told(error, f"{name} version {version}") from None

    def _upcast(self, name: str, version: int, data: bytes, target: type[Event]) -> tuple[bytes, type[Event]]:
        steps = self._path(name, version, target.event_version)
        own = self._versions[name].get(version)
        if steps is None:
            if own is None or version > target.event_version:
                raise UnknownVersion(
                    f"event {name!r} version {version} does not lead to version {target.event_version}: "
                    "deploy the newer code, or declare an upcaster"
                )
            return data, own
        subject = f"{name} version {version}"
        payload = _read(own, data, subject)
        for step in steps:
            payload = _applied(step, payload, subject)
        try:
            return to_json(payload), target
        except PydanticSerializationError:
            raise InvalidPayload(
                f"{subject}: upcaster {steps[-1].__name__} left what is no JSON", ["data"]
            ) from None

    def _path(self, name: str, version: int, target: int) -> list[Upcast] | None:
        steps: list[Upcast] = []
        while version < target:
            if (name, version) not in self._steps:
                return None
            version, step = self._steps[name, version]
            steps.append(step)
        return steps if version == target else None

    def _aliases_of(self, cls: type[Event]) -> dict[str, str]:
        found: dict[str, str] = {}
        for alias in cls.event_aliases:
            plain = alias.translate(_FOREIGN)
            other = plain if plain in self._versions else self._aliases.get(plain, cls.event_type)
            if other != cls.event_type:
                raise DeclarationError(f"{_named(cls)}: alias {alias!r} already means {other!r}")
            if plain != cls.event_type:
                found[plain] = cls.event_type
        return found


def _read(own: type[Event] | None, data: bytes, subject: str) -> JsonObject:
    """The data in our spelling, if its old class still exists; as it came, if not."""
    if own is None:
        return parse(data)
    try:
        return own.model_validate_json(data).model_dump(mode="json")
    except ValidationError as error:
        raise told(error, subject) from None


def _applied(step: Upcast, payload: JsonObject, subject: str) -> JsonObject:
    try:
        return step(payload)
    except Exception as error:
        # Its text may hold values, so only its type is told.
        raise InvalidPayload(
            f"{subject}: upcaster {step.__name__} failed ({type(error).__name__})", ["data"]
        ) from None


def _named(thing: type[Event] | Upcast) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


_registries = [Registry()]
recorders.append(_registries[0].record)


def registry() -> Registry:
    """The registry that declarations go to now."""
    return _registries[-1]


@contextmanager
def isolated() -> Generator[Registry]:
    """For tests: declarations inside the block go to a registry of their own."""
    fresh = Registry()
    _registries.append(fresh)
    recorders.append(fresh.record)
    try:
        yield fresh
    finally:
        _registries.remove(fresh)
        recorders.remove(fresh.record)


def registered() -> tuple[type[Event], ...]:
    """`Registry.registered` of the default registry."""
    return registry().registered()


def find(type: str, version: int | None = None) -> type[Event]:
    """`Registry.find` of the default registry."""
    return registry().find(type, version)


def normalise(name: str) -> str:
    """`Registry.normalise` of the default registry."""
    return registry().normalise(name)


def upcaster(newer: type[Event], *, from_version: int) -> Callable[[U], U]:
    """`Registry.upcaster` of the default registry."""
    return registry().upcaster(newer, from_version=from_version)


def validate(type: str, version: int, data: bytes, *, wanted: int | None = None) -> Event:
    """`Registry.validate` of the default registry."""
    return registry().validate(type, version, data, wanted=wanted)
