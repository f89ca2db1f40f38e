"""What a shell is offered after Tab: names that are loaded. It needs no server, and says nothing when something is wrong."""

from collections.abc import Callable, Iterable

from broker import load_settings
from broker.errors import CallboardError
from ops.boot import App, load
from schemas import SchemaError, registered


def actors() -> list[str]:
    return _names(lambda app: (actor.name for actor in app.actors))


def pipelines() -> list[str]:
    return _names(lambda app: (pipeline.name for pipeline in app.pipelines))


def pausable() -> list[str]:
    return sorted([*actors(), *pipelines()])


def schedules() -> list[str]:
    return _names(lambda app: (schedule.name for schedule in app.schedules))


def webhooks() -> list[str]:
    return _names(lambda app: (webhook.name for webhook in app.webhooks))


def events() -> list[str]:
    return _names(lambda _: (kind.event_type for kind in registered()))


def _names(of: Callable[[App], Iterable[str]]) -> list[str]:
    try:
        return sorted(set(of(load(load_settings()))))
    except (CallboardError, SchemaError):
        # A shell's prompt is no place for an error: the command itself will tell it.
        return []
