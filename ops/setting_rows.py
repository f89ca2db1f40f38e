"""Effective settings as rows: what each is, where it came from, and nothing that is secret."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pydantic import SecretBytes, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsError

from broker.environment import EnvironmentSettings, Origin, origin, variable
from broker.errors import ConfigurationError
from broker.logs import redact

MASK = "***"

# An author may forget SecretStr: what is named like a secret is hidden too. Too much hidden is better than too little.
_NAMED_SECRET = re.compile(r"(^|_)(password|passwd|secret|token|key|credentials?|dsn)(_|$)")

_SERVERS = re.compile(r"(postgres(ql)?|amqps?)://[^\s]*$")
_AROUND_A_COMMA = re.compile(r"\s*,\s*")


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting. `value` is for people and holds no secret; a secret that is set is `***`."""

    variable: str
    value: str
    origin: Origin
    secret: bool


@dataclass(frozen=True, slots=True)
class SettingGroup:
    """The settings of one class, or what makes it unreadable."""

    name: str
    rows: Sequence[SettingRow] = ()
    error: str | None = None


def read_groups(kinds: Sequence[type[BaseSettings]]) -> list[SettingGroup]:
    """One group a class, in order. A class that cannot be read does not hide the others."""
    return [_group(kind) for kind in kinds]


def group_name(kind: type[BaseSettings]) -> str:
    """`the engine`, or `the orders domain`."""
    *_, domain, module = ("", *kind.__module__.split("."))
    return f"the {domain} domain" if module == "settings" and domain != "broker" else "the engine"


def source_file(kind: type[BaseSettings]) -> Path:
    """The module of a settings class, from the top of its tree: `actors/pages/settings.py`."""
    return Path(*kind.__module__.split(".")).with_suffix(".py")


def is_secret(kind: type[BaseSettings], field: str) -> bool:
    """By its type or by its name."""
    return "Secret" in str(kind.model_fields[field].annotation) or bool(_NAMED_SECRET.search(field.lower()))


def shown(value: object) -> str:
    """As it would be written into the environment; empty for nothing."""
    if isinstance(value, SecretStr | SecretBytes):
        return _masked(str(value.get_secret_value()))
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return length(value)
    if isinstance(value, frozenset | set):
        return ",".join(sorted(map(str, value)))
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))
    return redact(str(value))


def _masked(value: str) -> str:
    """Of a server's address what helps to recognise it; of anything else that it is set."""
    together = _AROUND_A_COMMA.sub(",", value.strip())
    if _SERVERS.match(together):
        return ",".join(redact(url.partition("?")[0]) for url in together.split(","))
    return MASK if value else ""


def length(value: timedelta) -> str:
    """`0.25 s`, `10 s`, `5 min`, `30 days`: in the largest unit that leaves no rest."""
    seconds = value.total_seconds()
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size and seconds % size == 0 and (unit != "days" or seconds > size):
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _group(kind: type[BaseSettings]) -> SettingGroup:
    try:
        read = kind.load() if issubclass(kind, EnvironmentSettings) else kind()
    except ConfigurationError as error:
        return SettingGroup(group_name(kind), error=str(error).removeprefix("settings: "))
    except (ValidationError, SettingsError) as error:
        fields = _fields(error) if isinstance(error, ValidationError) else ""
        return SettingGroup(group_name(kind), error=f"{kind.__name__} cannot be read{fields}")
    return SettingGroup(group_name(kind), list(_rows(read)))


def _fields(error: ValidationError) -> str:
    """Of a class that is not built on ours: only the places, for messages of its own may hold values."""
    places = [".".join(map(str, fault["loc"])) for fault in error.errors(include_input=False)]
    return f": see {', '.join(place for place in places if place)}" if any(places) else ""


def _rows(read: BaseSettings) -> Iterator[SettingRow]:
    kind = type(read)
    for field in kind.model_fields:
        value, secret = getattr(read, field), is_secret(kind, field)
        text = shown(value)
        if secret and text and not isinstance(value, SecretStr | SecretBytes):
            text = MASK
        yield SettingRow(variable(kind, field), text, origin(kind, field), secret)
