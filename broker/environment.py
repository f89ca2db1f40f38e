"""How settings are read: from environment variables, or from the files that `<VARIABLE>_FILE` name, as Docker mounts secrets."""

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar, get_args

from pydantic import BeforeValidator, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from broker.errors import ConfigurationError

Origin = Literal["default", "environment", "file"]

FILE = "_FILE"
_NUMBER = re.compile(r"\d+(\.\d+)?$")


def separated(value: object) -> object:
    """The parts of a text between its commas; anything else as it is."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Many = TypeVar("Many")
Separated = Annotated[Many, NoDecode, BeforeValidator(separated)]
"""A field of several values, `Separated[frozenset[str]]`, that a variable gives separated by commas."""


class EnvironmentSettings(BaseSettings):
    """The base of every settings class, the engine's and each domain's:

        class GiftsSettings(EnvironmentSettings):
            model_config = SettingsConfigDict(env_prefix="CALLBOARD_GIFTS_")

            shop_key: SecretStr = SecretStr("")
            \"\"\"The text below a field is its description in `callboard settings --page`.\"\"\"

    `CALLBOARD_GIFTS_SHOP_KEY_FILE` may then name a file that holds the key. Read it with `load`, whose errors hold no value.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003  pydantic's signature
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, EnvironmentOrFile(settings_cls)

    @field_validator("*", mode="before")
    @classmethod
    def _seconds(cls, value: object, info: ValidationInfo) -> object:
        """`10` is ten seconds: pydantic takes a number for a length of time, but not its text."""
        if not isinstance(value, str) or not _NUMBER.match(value):
            return value
        kind = cls.model_fields[str(info.field_name)].annotation
        return float(value) if timedelta in (kind, *get_args(kind)) else value

    @classmethod
    def load(cls) -> Self:
        """Read the environment. Raises ConfigurationError that names each variable at fault, without its value."""
        try:
            return cls()
        except ValidationError as error:
            faults = "; ".join(
                f"{_at_fault(cls, fault['loc'])}{fault['msg'].removeprefix('Value error, ')}"
                for fault in error.errors(include_input=False)
            )
            raise ConfigurationError(f"settings: {faults}") from None
        except SettingsError as error:
            raise ConfigurationError(f"settings of {cls.__name__}: {error}") from None


class EnvironmentOrFile(EnvSettingsSource):
    """The environment, with the contents of files in the place of the variables that they stand for."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        found = dict(super()._load_env_vars())
        for field in self.settings_cls.model_fields:
            name = variable(self.settings_cls, field)
            if path := os.environ.get(f"{name}{FILE}"):
                found[name if self.case_sensitive else name.lower()] = _contents(name, path)
        return found


def variable(kind: type[BaseSettings], field: str) -> str:
    """The environment variable of a field."""
    return f"{kind.model_config.get('env_prefix', '')}{field}".upper()


def origin(kind: type[BaseSettings], field: str) -> Origin:
    """Where the value of a field comes from at this moment."""
    name = variable(kind, field)
    if issubclass(kind, EnvironmentSettings) and os.environ.get(f"{name}{FILE}"):
        return "file"
    return "environment" if name in os.environ else "default"


def _contents(name: str, path: str) -> str:
    """Without the newline that editors leave at the end. An empty variable counts as not set. Raises ConfigurationError."""
    if os.environ.get(name):
        raise ConfigurationError(f"settings: {name} and {name}{FILE} are both set: unset one of them")
    try:
        return Path(path).read_text().removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise ConfigurationError(
            f"settings: {name}{FILE} names a file that cannot be read ({reason}): correct the path or its permissions"
        ) from None


def _at_fault(kind: type[BaseSettings], place: tuple[int | str, ...]) -> str:
    """`CALLBOARD_THREADS: `; nothing for a fault of the whole, whose message names its variables itself."""
    return f"{variable(kind, '_'.join(map(str, place)))}: " if place else ""
