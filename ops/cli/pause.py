"""`callboard pause` and `callboard resume`: hold an actor or a pipeline back, and let it go on."""

from typing import Annotated

import typer

from broker.errors import NotFoundError
from broker.pause import Kind, Paused, paused
from broker.pause import pause as hold
from broker.wiring import nearest
from ops.boot import App
from ops.choosing import Who, person
from ops.cli import completion
from ops.cli.screen import ago, console, emit_json, table
from ops.cli.session import connected, loaded, settings_of_command

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="ACTOR|PIPELINE", help="Without one: what is paused now.", autocompletion=completion.pausable
    ),
]
Reason = Annotated[
    str | None, typer.Option("--reason", "-r", metavar="TEXT", help="Why, for those who look.")
]
Json = Annotated[bool, typer.Option("--json", help="For scripts: the list as one JSON document.")]


def pause(name: Name = None, reason: Reason = None, by: Who = None, json: Json = False) -> None:
    """Hold an actor's or a pipeline's runs back, on every worker, until it is resumed.

    Events keep arriving and wait; bodies that run go on to their end or next wait. Without a name: list what is paused."""
    settings = settings_of_command()
    if name is None:
        with connected(settings) as connection:
            return _list(paused(connection), json=json)
    kind = kind_of(loaded(settings), name)
    with connected(settings) as connection:
        done = hold(connection, kind, name, person(by), reason)
    told = "is paused" if done else "was paused already"
    console().print(f"{kind} {name} {told}; `callboard resume {name}` lets it go on")
    return None


def kind_of(app: App, name: str) -> Kind:
    """Raises NotFoundError for what is neither an actor nor a pipeline of the loaded code."""
    actors, pipelines = [actor.name for actor in app.actors], [line.name for line in app.pipelines]
    if name in actors:
        return "actor"
    if name in pipelines:
        return "pipeline"
    known = [*actors, *pipelines]
    raise NotFoundError(
        f"no actor and no pipeline is named {name!r}{nearest(name, known)}; `callboard pipelines` shows them"
    )


def _list(found: list[Paused], *, json: bool) -> None:
    if json:
        emit_json(found)
    elif not found:
        console().print("nothing is paused")
    else:
        rows = [
            [each.name, each.kind, ago(each.at), each.by, str(each.waiting), each.reason or ""]
            for each in found
        ]
        console().print(table(["PAUSED", "", "SINCE", "BY", "WAITING", "WHY"], rows))
