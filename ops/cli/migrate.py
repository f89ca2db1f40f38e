"""`callboard migrate`: bring the database to what the code needs."""

import sys
from collections.abc import Iterable, Sequence
from typing import Annotated

import psycopg
import typer
from rich.progress import track

from broker.migrate import Migration, pending
from broker.migrate import migrate as apply
from ops.boot import load
from ops.cli.screen import console, errors, table
from ops.cli.session import settings_of_command
from ops.reach import unreachable


def migrate(
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be applied.")] = False,
) -> None:
    """Apply pending migrations, the engine's and each domain's. May be repeated; two at once wait for each other."""
    settings = settings_of_command()
    migrations = load(settings).migrations(settings.namespace)
    try:
        found = (
            pending(settings.database, migrations) if plan else apply(settings.database, migrations, _watched)
        )
    except psycopg.OperationalError as error:
        raise unreachable(settings, error) from error
    _show(found, plan=plan)


def _watched(todo: Sequence[Migration]) -> Iterable[Migration]:
    """A migration may take minutes on a big table: who looks at a terminal sees how many are left."""
    return track(todo, "migrating", console=errors(), disable=not sys.stderr.isatty(), transient=True)


def _show(found: list[Migration], *, plan: bool) -> None:
    out = console()
    if not found:
        out.print("nothing to do: the database is up to date")
        return
    out.print(f"{len(found)} {'would be' if plan else ''} applied:".replace("  ", " "))
    out.print(
        table(["ROOM", "MIGRATION", "PHASE", "SCHEMA"], [(m.room, m.name, m.phase, m.schema) for m in found])
    )
