"""The four kinds of new things. Each checks everything first and returns what would be written."""

import importlib
import pkgutil
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from broker import Actor, ConfigurationError, Pipeline, Settings
from broker.wiring import nearest
from ops.boot import load
from ops.scaffold import names
from ops.scaffold.files import Files, filled
from ops.scaffold.imports import import_block
from ops.scaffold.place import Place
from ops.scaffold.schema import fields_of, with_event
from schemas import Event, registered

DEFAULTS: dict[Any, str] = {UUID: "run.id", str: '""', int: "0", float: "0.0", bool: "False"}
"""What a new actor says in a field that its event does not have, until its author says better."""


def new_domain(place: Place, name: str) -> Files:
    """Its rooms: schemas/<name>.py, actors/<name>/, tests/actors/<name>/. What is there is left alone."""
    files = Files(place)
    _domain(files, names.domain_named(name))
    if not files.new:
        raise ConfigurationError(f"domain {name} is there already: nothing was written")
    return files


def new_event(place: Place, type: str, fields: Sequence[str], domain: str | None) -> Files:
    """A class in schemas/<domain>.py; the domain is the first word of the type unless given."""
    home = names.domain_named(domain or names.event_named(type).partition(".")[0])
    found = fields_of(fields)
    for name, _ in found:
        names.field_named(name, Event)
    known = _events(place)
    if type in known:
        raise ConfigurationError(f"event {type} is there already, in {known[type].__module__}")
    files = Files(place)
    _domain(files, home)
    path = place.rooms / "schemas" / f"{home}.py"
    source = files.new.pop(path, None)
    new = source is not None
    lines = filled("event", {"class": names.class_of(type), "type": type, "fields": found})
    text = with_event(
        place, source if source is not None else path.read_text(), lines, [kind for _, kind in found]
    )
    files.add(path, text) if new else files.change(path, text)
    return files


def new_actor(place: Place, name: str, on: str, publishes: str | None) -> Files:
    """actors/<domain>/<verb>.py and its test. Raises ConfigurationError for an event that there is not."""
    domain, verb = names.actor_named(name)
    events = _events(place)
    heard = _event(events, on)
    said = _event(events, publishes) if publishes else None
    kinds = _imports([heard, *([said] if said else [])])
    body = {"datetime": {"timedelta"}, "broker": {"Backoff", "Run", "actor"}, **kinds}
    module = place.module(f"actors.{domain}.{verb}")
    test = {
        "polyfactory.factories.pydantic_factory": {"ModelFactory"}, "broker.testing": {"rehearse"}, module: {verb}, **kinds,
    }  # fmt: skip
    values = {
        "name": name, "verb": verb, "type": on, "heard": heard.__name__, "said": said.__name__ if said else None,
        "arguments": _arguments(said, heard) if said else [],
        "imports": import_block(place, body), "test_imports": import_block(place, test),
    }  # fmt: skip
    files = Files(place)
    _domain(files, domain)
    files.add(place.rooms / "actors" / domain / f"{verb}.py", filled("actor", values))
    files.add(place.root / "tests" / "actors" / domain / f"test_{verb}.py", filled("test_actor", values))
    return files


def new_pipeline(place: Place, name: str, actors: Sequence[str], settings: Settings) -> Files:
    """pipelines/<name>.py and its test. Raises ConfigurationError for an actor that there is not, or a link that does not fit."""
    variable = names.pipeline_named(name)
    found = {actor.name: actor for actor in _actors(place, settings)}
    for wanted in actors:
        if wanted not in found:
            raise ConfigurationError(
                f"no actor is named {wanted!r}{nearest(wanted, found)}; `callboard new actor {wanted} --on …` makes one"
            )
    chain = [found[wanted] for wanted in actors]
    links = Pipeline(name, _chained(chain)).links()
    modules = {actor.fn.__module__: {actor.fn.__name__} for actor in chain} | {"broker": {"Pipeline"}}
    values = {
        "name": name, "variable": variable, "verbs": [actor.fn.__name__ for actor in chain],
        "imports": import_block(place, modules),
        "test_imports": import_block(place, {place.module(f"pipelines.{variable}"): {variable}}),
        "types": [type for _, type, _ in links], "first": chain[0].hears[0].event_type,
    }  # fmt: skip
    files = Files(place)
    files.add(
        place.rooms / "pipelines" / "__init__.py",
        '"""Who hears what: one file a pipeline."""\n',
        may_exist=True,
    )
    files.add(place.rooms / "pipelines" / f"{variable}.py", filled("pipeline", values))
    for folder in ("tests", "tests/pipelines"):
        files.add(place.root / folder / "__init__.py", "", may_exist=True)
    files.add(place.root / "tests" / "pipelines" / f"test_{variable}.py", filled("test_pipeline", values))
    return files


def _domain(files: Files, name: str) -> None:
    place = files.place
    rooms, title = place.rooms, name.replace("_", " ").capitalize()
    for room, text in (("schemas", "What may be said."), ("actors", "What is done: one file an actor.")):
        files.add(rooms / room / "__init__.py", f'"""{text}"""\n', may_exist=True)
    files.add(rooms / "schemas" / f"{name}.py", f'"""{title}: what is said about it."""\n', may_exist=True)
    files.add(rooms / "actors" / name / "__init__.py", f'"""The {name} domain."""\n', may_exist=True)
    for folder in ("tests", "tests/actors", f"tests/actors/{name}"):
        files.add(place.root / folder / "__init__.py", "", may_exist=True)


def _events(place: Place) -> dict[str, type[Event]]:
    """Type → newest class, of the place and of this checkout. Importing schemas does nothing else."""
    for package in dict.fromkeys((f"{place.prefix}schemas", "schemas")):
        try:
            room = importlib.import_module(package)
        except ModuleNotFoundError:
            continue
        for found in pkgutil.iter_modules(room.__path__, f"{package}."):
            importlib.import_module(found.name)
    return {kind.event_type: kind for kind in registered()}


def _event(known: dict[str, type[Event]], type: str) -> type[Event]:
    if type not in known:
        raise ConfigurationError(
            f"no event is named {type!r}{nearest(type, known)}; `callboard new event {type}` makes one"
        )
    return known[type]


def _actors(place: Place, settings: Settings) -> Sequence[Actor[Any, Any]]:
    own = (place.prefix.rstrip("."),) if place.prefix else ()
    apps = tuple(dict.fromkeys([*settings.apps, *own]))
    return load(settings.model_copy(update={"apps": apps, "demo": settings.demo or not place.prefix})).actors


def _chained(actors: Sequence[Actor[Any, Any]]) -> Any:
    chain: Any = actors[0]
    for actor in actors[1:]:
        chain = chain | actor
    return chain


def _arguments(said: type[Event], heard: type[Event]) -> list[tuple[str, str]]:
    """Each field that it must have: the same field of what was heard, or a value to begin with."""
    arguments: list[tuple[str, str]] = []
    for name, field in said.model_fields.items():
        other = heard.model_fields.get(name)
        if not field.is_required():
            continue
        if other is not None and other.annotation == field.annotation:
            arguments.append((name, f"event.{name}"))
        elif field.annotation in DEFAULTS:
            arguments.append((name, DEFAULTS[field.annotation]))
        else:
            raise ConfigurationError(
                f"{said.__name__} has a field {name!r} that no value to begin with is known for: "
                "make the actor without --publishes, and return the event from its body"
            )
    return arguments


def _imports(kinds: Sequence[type[Event]]) -> dict[str, set[str]]:
    modules: dict[str, set[str]] = {}
    for kind in kinds:
        modules.setdefault(kind.__module__, set()).add(kind.__name__)
    return modules
