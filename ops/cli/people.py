"""`callboard people`: who may sign in to the pages, and what they may do there."""

from pathlib import Path
from typing import Annotated

import typer

from broker import people as store
from broker.people import Person, Role
from ops.choosing import Who, Yes, person
from ops.cli.screen import Cell, ago, console, emit_json, errors, table
from ops.cli.session import confirmed, connected, settings_of_command
from ops.passwords import PasswordFile, password_of

app = typer.Typer(help="Who may sign in to the pages: list, add, role, password, remove.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="As they sign in, such as ada.")]
As = Annotated[
    Role, typer.Option("--as", help="viewer looks; operator cancels and runs again; admin adds people.")
]


@app.callback(invoke_without_command=True)
def people(
    ctx: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="For scripts: one JSON document.")] = False,
) -> None:
    if ctx.invoked_subcommand is not None:
        return
    with connected(settings_of_command()) as connection:
        found = store.list_people(connection)
    if json:
        emit_json(found)
    elif found:
        console().print(table(["NAME", "ROLE", "ADDED", "BY", "SIGNED IN"], [_row(each) for each in found]))
    else:
        console().print("nobody yet: `callboard people add NAME --as admin` adds the first")


@app.command()
def add(name: Name, role: As, password_file: PasswordFile = None, by: Who = None) -> None:
    """Add somebody. A password by chance is printed once; they may change it on their page."""
    password = password_of(password_file)
    with connected(settings_of_command()) as connection:
        store.add(connection, name, role, password, person(by))
    _hand_out(name, password, password_file)


@app.command("role")
def role_(name: Name, role: As, by: Who = None) -> None:
    """Give somebody another role. It holds with their next request."""
    with connected(settings_of_command()) as connection:
        store.set_role(connection, name, role, person(by))
    console().print(f"{name} is {role}")


@app.command("password")
def password_(name: Name, password_file: PasswordFile = None, by: Who = None) -> None:
    """Give somebody a new password, and end their sessions."""
    password = password_of(password_file)
    with connected(settings_of_command()) as connection:
        store.set_password(connection, name, password, person(by))
    _hand_out(name, password, password_file)


@app.command()
def remove(name: Name, by: Who = None, yes: Yes = False) -> None:
    """Remove somebody, and end their sessions."""
    if not confirmed(f"Remove {name!r}?", yes=yes):
        raise typer.Exit(1)
    with connected(settings_of_command()) as connection:
        store.remove(connection, name, person(by))
    console().print(f"removed {name}")


def _hand_out(name: str, password: str, file: Path | None) -> None:
    if file is None:
        print(password)
        errors().print(f"the password of {name!r} is not shown again", style="dim")
    else:
        console().print(f"{name} may sign in")


def _row(each: Person) -> list[Cell]:
    seen = f"{ago(each.seen_at)} ago" if each.seen_at is not None else "never"
    return [each.name, each.role, f"{ago(each.made_at)} ago", each.made_by, seen]
