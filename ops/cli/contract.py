"""`callboard contract`: what other services need to publish, and the proof that it only grows."""

import json
from pathlib import Path
from typing import Annotated

import typer

from broker import CallboardError
from ops.boot import App
from ops.cli.screen import console, errors
from ops.cli.session import loaded, settings_of_command
from ops.contract.asyncapi import asyncapi
from ops.contract.compatibility import additions, breaks
from ops.contract.jsonschemas import read, schemas_of, write
from ops.contract.page import page as page_of
from ops.contract.wheel import build
from schemas import Event, registered

app = typer.Typer(
    no_args_is_help=True,
    help="The contract with other services: AsyncAPI, JSON Schemas, a package of models.",
)

PUBLISHED = Path("ops/contract/published")
Out = Annotated[Path | None, typer.Option("--out", "-o", help="A file; otherwise standard output.")]


@app.command("asyncapi")
def asyncapi_(out: Out = None) -> None:
    """AsyncAPI 3: exchange, routing keys, headers and data of every event."""
    settings = settings_of_command()
    found = loaded(settings)
    document = asyncapi(_kinds(found), found.actors, namespace=settings.namespace)
    _hand_out(json.dumps(document, indent=2, ensure_ascii=False) + "\n", out)


@app.command()
def jsonschema(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder.")] = Path("schemas-json"),
) -> None:
    """JSON Schemas, a file for each type and version."""
    written = write(schemas_of(_kinds(loaded(settings_of_command()))), out)
    console().print(f"{len(written)} schemas in {out}")


@app.command()
def wheel(out: Annotated[Path, typer.Option("--out", "-o", help="The folder.")] = Path("dist")) -> None:
    """A package of the models of schemas/, with a publisher: needs pydantic and nothing of this house."""
    console().print(str(build(out)), soft_wrap=True)


@app.command()
def check(
    against: Annotated[
        Path, typer.Option("--against", help="The folder of the schemas that were published last.")
    ] = PUBLISHED,
    accept: Annotated[bool, typer.Option("--accept", help="Write the additions into that folder.")] = False,
) -> None:
    """Whether the code's events are the published ones, or additions to them. Exit status 1 if not."""
    before, after = read(against), schemas_of(_kinds(loaded(settings_of_command())))
    found, fresh = breaks(before, after), additions(before, after)
    for each in found:
        errors().print(str(each), style="red", soft_wrap=True)
    if found:
        raise CallboardError(
            f"{len(found)} break(s) of the contract in {against}: leave the class as it was, and declare "
            "`class …(Event, type=…, version=2)` with an upcaster beside it"
        )
    if accept:
        write({name: after[name] for name in fresh}, against)
    elif fresh:
        raise CallboardError(
            f"additions that are not published yet: {', '.join(fresh)}; `callboard contract check --accept` writes them"
        )
    console().print(
        f"{len(after)} events: {f'{len(fresh)} written' if fresh else 'as published'}", style="green"
    )


@app.command()
def page(out: Out = None) -> None:
    """All events as a page: fields, who hears them, who publishes them."""
    found = loaded(settings_of_command())
    _hand_out(page_of(_kinds(found), found.actors), out)


def _kinds(found: App) -> list[type[Event]]:
    """All that a module of the loaded rooms has declared; tests and other applications of this process are left out."""
    rooms = {
        kind.__module__.partition(".")[0]
        for actor in found.actors
        for kind in (*actor.hears, *actor.publishes)
    }
    return [kind for kind in registered() if kind.__module__.partition(".")[0] in rooms | {"schemas"}]


def _hand_out(text: str, out: Path | None) -> None:
    if out is None:
        print(text, end="")
    else:
        out.write_text(text)
        console().print(f"written: {out}")
