"""`callboard keys`: who may publish over HTTP."""

from datetime import timedelta
from typing import Annotated

import typer

from broker import CallboardError
from broker.event_keys import EventKey, create, list_keys, revoke, rotate
from ops.choosing import Who, Yes, person
from ops.cli.screen import Cell, ago, console, emit_json, errors, table, took
from ops.cli.session import confirmed, connected, settings_of_command

app = typer.Typer(help="Keys for publishing over HTTP: list, create, rotate, revoke.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the service that has it, such as shop.")]
Patterns = list[str]


@app.callback(invoke_without_command=True)
def keys(
    ctx: typer.Context,
    ended: Annotated[bool, typer.Option("--ended", help="Also those that are revoked.")] = False,
    json: Annotated[bool, typer.Option("--json", help="For scripts: one JSON document.")] = False,
) -> None:
    if ctx.invoked_subcommand is not None:
        return
    with connected(settings_of_command()) as connection:
        found = list_keys(connection, ended=ended)
    if json:
        emit_json(found)
    elif found:
        console().print(
            table(["KEY", "TYPES", "SOURCES", "RATE", "MADE", "USED", "ENDS"], [_row(key) for key in found])
        )
    else:
        console().print("no key yet: `callboard keys create NAME` makes one")


@app.command("create")
def create_(
    name: Name,
    types: Annotated[
        Patterns, typer.Option("--type", "-t", help="Event types it may publish; * is any text.")
    ] = ["*"],  # noqa: B006  typer copies it
    sources: Annotated[Patterns, typer.Option("--source", "-s", help="Sources it may name.")] = ["*"],  # noqa: B006
    rate: Annotated[
        float | None, typer.Option("--rate", min=0.01, help="Events a second, for each web process.")
    ] = None,
    by: Who = None,
) -> None:
    """Make a key; its secret is printed once and kept nowhere."""
    if not name.isprintable() or not 1 <= len(name) <= 100:
        raise CallboardError("a key's name is 1 to 100 printable characters")
    with connected(settings_of_command()) as connection:
        made, secret = create(connection, name, person(by), types=types, sources=sources, rate=rate)
    _hand_out(made, secret)


@app.command("rotate")
def rotate_(
    name: Name,
    grace: Annotated[
        float, typer.Option("--grace", min=0, help="Hours for which the old secret goes on.")
    ] = 24,
    by: Who = None,
) -> None:
    """Make a new secret of the same scope; the old one ends after the grace."""
    left = timedelta(hours=grace)
    with connected(settings_of_command()) as connection:
        made, secret = rotate(connection, name, person(by), left)
    _hand_out(made, secret)
    errors().print(
        f"the old secret ends in {took(left)}" if grace else "the old secret has ended", style="dim"
    )


@app.command("revoke")
def revoke_(name: Name, by: Who = None, yes: Yes = False) -> None:
    """End all secrets of this name at once."""
    if not confirmed(f"Revoke every key named {name!r}?", yes=yes):
        raise typer.Exit(1)
    with connected(settings_of_command()) as connection:
        count = revoke(connection, name, person(by))
    console().print(f"revoked {count} key{'' if count == 1 else 's'} named {name}")


def _hand_out(key: EventKey, secret: str) -> None:
    print(secret)
    errors().print(
        f"the secret of {key.name!r} is not shown again; it may publish {', '.join(key.types)}", style="dim"
    )


def _row(key: EventKey) -> list[Cell]:
    rate = f"{key.rate:g}/s" if key.rate is not None else ""
    used = f"{ago(key.used_at)} ago" if key.used_at is not None else "never"
    ends = f"{key.ends_at:%Y-%m-%d %H:%M} UTC" if key.ends_at is not None else ""
    return [
        key.name,
        ", ".join(key.types),
        ", ".join(key.sources),
        rate,
        f"{ago(key.created_at)} ago",
        used,
        ends,
    ]
