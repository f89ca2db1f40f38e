"""`callboard pipelines`: who hears what, as a list, a chain or a drawing. Needs no server."""

from collections.abc import Sequence
from typing import Annotated

import typer

from broker import ConfigurationError, Pipeline
from broker.wiring import nearest
from ops import pipeline_picture
from ops.cli import completion
from ops.cli.check import policies_of, schedules_of
from ops.cli.screen import console, table
from ops.cli.session import loaded, settings_of_command

app = typer.Typer(help="List pipelines; `show NAME` tells one; --mermaid and --svg draw.")

Mermaid = Annotated[bool, typer.Option("--mermaid", help="As a Mermaid flowchart.")]
Svg = Annotated[bool, typer.Option("--svg", help="As a picture, for a file: > pipelines.svg")]


@app.callback(invoke_without_command=True)
def pipelines(ctx: typer.Context, mermaid: Mermaid = False, svg: Svg = False) -> None:
    if ctx.invoked_subcommand is not None:
        return
    house = loaded(settings_of_command())
    found = house.pipelines
    if mermaid or svg:
        _draw(found, mermaid=mermaid, svg=svg)
        return
    rows = [(p.name, " → ".join(actor.name for actor in p.actors)) for p in found]
    out = console()
    out.print(table(["PIPELINE", "ACTORS"], rows) if rows else "no pipelines are declared")
    if house.schedules:
        out.print()
        out.print(schedules_of(house))


@app.command()
def show(
    name: Annotated[str, typer.Argument(autocompletion=completion.pipelines)],
    mermaid: Mermaid = False,
    svg: Svg = False,
) -> None:
    """One pipeline: its actors in order, what each hears and what it passes on."""
    pipeline = _named(loaded(settings_of_command()).pipelines, name)
    if mermaid or svg:
        _draw((pipeline,), mermaid=mermaid, svg=svg)
        return
    passes = {earlier.name: type_ for earlier, type_, _ in pipeline.links()}
    rows = [
        (
            actor.name,
            ", ".join(kind.event_type for kind in actor.hears),
            passes.get(actor.name, ""),
            policies_of(actor),
        )
        for actor in pipeline.actors
    ]
    console().print(table(["ACTOR", "HEARS", "PASSES ON", "POLICIES"], rows, wrapped=(1, 3)))


def _draw(found: Sequence[Pipeline], *, mermaid: bool, svg: bool) -> None:
    if mermaid and svg:
        raise ConfigurationError("say --mermaid or --svg, not both")
    if svg:
        print(pipeline_picture.draw(found))
    elif len(found) == 1:
        print(found[0].mermaid())
    else:
        print("\n\n".join(f"%% {pipeline.name}\n{pipeline.mermaid()}" for pipeline in found))


def _named(found: tuple[Pipeline, ...], name: str) -> Pipeline:
    for pipeline in found:
        if pipeline.name == name:
            return pipeline
    names = [pipeline.name for pipeline in found]
    raise ConfigurationError(
        f"no pipeline is named {name!r}{nearest(name, names)}; there are {', '.join(names) or 'none'}"
    )
