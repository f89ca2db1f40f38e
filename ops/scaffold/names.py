"""What may be called what, and the name that follows from another one."""

import builtins
import keyword
import re

from broker import ConfigurationError
from schemas import type_fault

_WORD = re.compile(r"[a-z][a-z0-9_]*")
_PIPELINE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

# A domain is a module beside these in schemas/, and a schema of the database.
_ENGINE = frozenset({"envelope", "errors", "event", "failure", "ids", "payload", "registry"})
_SCHEMAS = frozenset({"callboard", "engine", "information_schema", "public"})
# What the file of every new actor is written with.
_WRITTEN = frozenset({"actor", "event", "look", "run", "timedelta"})


def domain_named(name: str) -> str:
    """The name itself. Raises ConfigurationError for one that no domain can have."""
    fault = _word_fault(name)
    if not fault and (name in _ENGINE or name in _SCHEMAS or name.startswith("pg_")):
        fault = "is taken by the engine"
    if fault:
        raise ConfigurationError(f"domain {name!r} {fault}: name it after what it is about, such as billing")
    return name


def actor_named(name: str) -> tuple[str, str]:
    """Domain and verb. Raises ConfigurationError for a name that does not make a path."""
    parts = name.split(".")
    if len(parts) != 2:
        raise ConfigurationError(f"actor {name!r} is not <domain>.<verb>: write it like billing.charge")
    domain, verb = domain_named(parts[0]), parts[1]
    fault = _word_fault(verb)
    if not fault and verb in _WRITTEN:
        fault = "is a name that the file of every new actor uses"
    if not fault and hasattr(builtins, verb):
        fault = "hides Python's own"
    if fault:
        raise ConfigurationError(f"actor {name!r}: {verb!r} {fault}; take another verb, such as charge")
    return domain, verb


def event_named(type: str) -> str:
    """The type itself. Raises ConfigurationError for what no event can be named."""
    fault = type_fault(type)
    if not fault and keyword.iskeyword(class_of(type)):
        fault = "makes a class that Python cannot name"
    if not fault and "." not in type:
        fault = "says too little: name what happened to what, like billing.charged"
    if fault:
        raise ConfigurationError(f"event {type[:80]!r} {fault}")
    return type


def pipeline_named(name: str) -> str:
    """The name of its module and variable. Raises ConfigurationError for what is not kebab-case."""
    variable = name.replace("-", "_")
    if not _PIPELINE.fullmatch(name) or keyword.iskeyword(variable) or hasattr(builtins, variable):
        raise ConfigurationError(
            f"pipeline {name!r} is no name: write lower case and hyphens, like charge-order"
        )
    return variable


def field_named(name: str, taken: type) -> str:
    """The name itself. Raises ConfigurationError for one that `taken`, the base of all events, has already."""
    fault = _word_fault(name)
    if not fault and (hasattr(taken, name) or name.startswith("model_")):
        fault = "is taken by the event itself"
    if fault:
        raise ConfigurationError(f"field {name!r} {fault}: name it otherwise, like order_id")
    return name


def class_of(type: str) -> str:
    """`page.scan.requested` → `PageScanRequested`."""
    return "".join(part.capitalize() for part in re.split(r"[._]", type))


def _word_fault(name: str) -> str:
    if not _WORD.fullmatch(name):
        return "is not lower snake_case"
    return "is a word of Python's own" if keyword.iskeyword(name) else ""
