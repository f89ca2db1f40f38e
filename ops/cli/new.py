"""`callboard new`: a domain, an event, an actor or a pipeline, as files that pass their tests at once."""

from pathlib import Path
from typing import Annotated

import typer

from broker import load_settings
from ops.cli import completion
from ops.cli.screen import console
from ops.scaffold import make
from ops.scaffold.files import Files
from ops.scaffold.place import Place, place_of

app = typer.Typer(
    no_args_is_help=True, help="Write typed files and their tests; what is there is never written over."
)

App = Annotated[
    str | None, typer.Option("--app", help="The package to write into; without one, this checkout.")
]


@app.command()
def domain(name: str, app: App = None) -> None:
    """The rooms of a domain: its events, its actors, their tests."""
    _written(make.new_domain(_place(app), name), f"callboard new event {name}.happened --domain {name}")


@app.command()
def event(
    type: Annotated[str, typer.Argument(metavar="TYPE", help="Dotted, such as billing.charged.")],
    fields: Annotated[
        list[str] | None, typer.Argument(metavar="NAME:TYPE...", help="Such as order_id:UUID.")
    ] = None,
    domain: Annotated[str | None, typer.Option("--domain", help="Else the first word of the type.")] = None,
    app: App = None,
) -> None:
    """An event class in the schemas of its domain."""
    files = make.new_event(_place(app), type, fields or [], domain)
    _written(files, f"callboard new actor {type.partition('.')[0]}.VERB --on {type}")


@app.command()
def actor(
    name: Annotated[str, typer.Argument(metavar="DOMAIN.VERB")],
    on: Annotated[str, typer.Option("--on", help="The event it hears.", autocompletion=completion.events)],
    publishes: Annotated[
        str | None, typer.Option("--publishes", help="The event it says.", autocompletion=completion.events)
    ] = None,
    app: App = None,
) -> None:
    """An actor in a file of its own, and a test that rehearses it."""
    _written(make.new_actor(_place(app), name, on, publishes), "callboard dev")


@app.command()
def pipeline(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as charge-order.")],
    actors: Annotated[
        list[str],
        typer.Argument(metavar="ACTOR...", help="In their order.", autocompletion=completion.actors),
    ],
    app: App = None,
) -> None:
    """A chain of actors whose links are checked, and a test of them."""
    settings = load_settings()
    _written(make.new_pipeline(_place(app), name, actors, settings), f"callboard pipelines show {name}")


def _place(app: str | None) -> Place:
    return place_of(app, load_settings().apps, Path.cwd())


def _written(files: Files, then: str) -> None:
    out = console()
    for path in files.write():
        out.print(f"wrote {path}")
    tests = [str(path.relative_to(files.place.root)) for path in files.new if path.name.startswith("test_")]
    tried = [f"`{files.place.runner} {' '.join(tests)}`"] if tests else []
    out.print(f"next: {', '.join([*tried, f'`{then}`'])}", style="dim", soft_wrap=True)
