"""`callboard migrate`: bring the database to what the code needs."""

import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated

import psycopg
import typer
from rich.progress import track

from broker import Settings
from broker.migrate import Migration, Phase, State, meant, older_workers, state, told_older
from broker.migrate import migrate as apply
from ops.access import postgres as access
from ops.boot import App, load
from ops.cli.screen import Cell, console, errors, table
from ops.cli.session import settings_of_command
from ops.migration_notes import locks_of, purpose_of
from ops.reach import unreachable


class When(StrEnum):
    """The phases, as they are typed."""

    pre = "pre"
    post = "post"


def migrate(
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what would be applied, what it does and what it locks.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="As --plan; exit status 1 if anything is pending or was changed.")
    ] = False,
    phase: Annotated[
        When | None,
        typer.Option(
            "--phase",
            help="pre: what may run beside old workers. post: what may not, refused while one of them lives.",
        ),
    ] = None,
) -> None:
    """Apply pending migrations, the engine's and each domain's. May be repeated; two at once wait for each other.

    Without --phase, post migrations are left as long as an older worker lives.
    """
    settings = settings_of_command()
    loaded = load(settings)
    migrations = loaded.migrations(settings.namespace)
    wanted: Phase | None = None if phase is None else "pre" if phase is When.pre else "post"
    try:
        if plan or check:
            found = state(settings.database, migrations)
            todo = meant(found.pending, wanted)
            _show(todo, "would be applied")
            _remark(settings, found, todo)
            raise typer.Exit(int(check and bool(todo or found.changed)))
        done = apply(settings.database, migrations, _watched, phase=wanted, lease=settings.lease)
        found = state(settings.database, migrations)
        if done:
            _grant_again(settings, loaded)
    except psycopg.OperationalError as error:
        raise unreachable(settings, error) from error
    _show(done, "applied")
    _remark(settings, found, found.pending)


def _grant_again(settings: Settings, loaded: App) -> None:
    """What has just been made is for the roles, too, where an installation has them."""
    with settings.database.once("migrate") as connection:
        if not access.missing(connection, settings.namespace):
            access.apply(connection, settings.namespace, [name for name, _ in loaded.domains])


def _watched(todo: Sequence[Migration]) -> Iterable[Migration]:
    """A migration may take minutes on a big table: who looks at a terminal sees how many are left."""
    return track(todo, "migrating", console=errors(), disable=not sys.stderr.isatty(), transient=True)


def _show(found: Sequence[Migration], what: str) -> None:
    out = console()
    if not found:
        out.print("nothing to do: the database is up to date" if what == "applied" else "nothing is pending")
        return
    out.print(f"{len(found)} {what}:")
    out.print(table(["ROOM", "MIGRATION", "PHASE", "DOES", "LOCKS"], [_row(m) for m in found], flexible=3))


def _row(migration: Migration) -> list[Cell]:
    text = migration.path.read_text()
    return [migration.room, migration.name, migration.phase, purpose_of(text), locks_of(text)]


def _remark(settings: Settings, found: State, left: Sequence[Migration]) -> None:
    """What a person has to know beside the list: who is in the way, and what the ledger says otherwise."""
    out = errors()
    for migration in left:
        older = (
            older_workers(settings.database, migration, settings.lease) if migration.phase == "post" else []
        )
        if older:
            out.print(f"left: {told_older(migration, older)}", style="yellow", soft_wrap=True)
    for migration in found.changed:
        out.print(
            f"{migration} was changed after it was applied: what it says now has not been done; put the change into a new file",
            style="yellow",
            soft_wrap=True,
        )
    if found.newer:
        out.print(
            f"applied by a newer program than this: {', '.join(found.newer)}", style="yellow", soft_wrap=True
        )
