"""`callboard dead`: what we stopped trying, and what a person decides about it."""

import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Annotated
from uuid import UUID

import typer
from psycopg import Connection
from rich.progress import track

from broker import CallboardError, dead_letters
from broker.dead_letters import Letter
from broker.history import open_letters
from ops.cli.letter import show_letter
from ops.cli.screen import Cell, ago, console, emit_json, errors, one_line, table
from ops.cli.session import confirmed, connected, settings_of_command

app = typer.Typer(
    no_args_is_help=True, help="Dead letters: events that we stopped trying, kept until someone decides."
)

CHUNK = 50
"""Letters a commit: small enough that a Ctrl-C loses little and row locks are short."""
PATIENCE = timedelta(seconds=2)
"""From about this length on a person wants to see progress; 50 letters take 0.1 s."""

Json = Annotated[bool, typer.Option("--json", help="For scripts: one JSON document, nothing cut off.")]
Ids = Annotated[
    list[str] | None, typer.Argument(metavar="ID...", help="Of dead letters, as `dead list` shows them.")
]
Reason = Annotated[str | None, typer.Option("--reason", "-r", help="All open letters of this reason.")]
By = Annotated[str | None, typer.Option("--actor", "-a", help="All open letters of this actor.")]
Every = Annotated[bool, typer.Option("--all", help="All open letters, without those that nobody hears.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command("list")
def list_(
    reason: Annotated[
        str | None, typer.Option("--reason", "-r", help="Such as 'attempts used up' or unheard.")
    ] = None,
    actor: Annotated[str | None, typer.Option("--actor", "-a")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also events that nobody hears.")] = False,
    settled: Annotated[bool, typer.Option("--settled", help="Also those replayed or discarded.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000)] = 100,
    json: Json = False,
) -> None:
    """Open dead letters, newest first."""
    with connected(settings_of_command()) as connection:
        wanted = {"reason": reason, "actor": actor}
        found = dead_letters.list_letters(
            connection, **wanted, everything=everything, settled=settled, limit=limit
        )
        counts = dead_letters.count_letters(connection)
    if json:
        emit_json(found)
        return
    out = console()
    if found:
        out.print(table(["LETTER", "REASON", "ACTOR", "AGE", "ERROR"], [_row(letter) for letter in found]))
        out.print()
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    out.print(f"open: {told}" if told else "no open dead letters", style="dim")
    if counts.get("unheard") and not everything and reason is None:
        out.print("events that nobody hears are listed with --all", style="dim")


@app.command()
def show(id: Annotated[str, typer.Argument(metavar="ID")], json: Json = False) -> None:
    """One dead letter, whole: event, attempts, errors."""
    with connected(settings_of_command()) as connection:
        letter = dead_letters.get_letter(connection, _uuid(id))
    emit_json(letter) if json else show_letter(console(), letter)


@app.command()
def replay(
    ids: Ids = None, reason: Reason = None, actor: By = None, everything: Every = False, yes: Yes = False
) -> None:
    """Try them again: the same run goes on in its actor, attempts start anew, finished steps are kept. Each letter once."""
    _settle("replay", dead_letters.replay, ids, reason, actor, everything, yes)


@app.command()
def discard(
    ids: Ids = None, reason: Reason = None, actor: By = None, everything: Every = False, yes: Yes = False
) -> None:
    """Settle them without another try."""
    _settle("discard", dead_letters.discard, ids, reason, actor, everything, yes)


def _settle(
    verb: str,
    settle: Callable[[Connection, Sequence[UUID]], list[UUID]],
    ids: list[str] | None,
    reason: str | None,
    actor: str | None,
    everything: bool,
    yes: bool,
) -> None:
    bulk = everything or reason is not None or actor is not None
    if bulk == bool(ids):
        raise CallboardError(f"say which: `callboard dead {verb} ID...`, --reason, --actor or --all")
    with connected(settings_of_command()) as connection:
        chosen = (
            open_letters(connection, reason=reason, actor=actor) if bulk else [_uuid(id) for id in ids or []]
        )
        if not chosen:
            console().print("no open dead letters like that")
            return
        many = "1 dead letter" if len(chosen) == 1 else f"{len(chosen)} dead letters"
        if bulk and not confirmed(f"{verb.capitalize()} {many}?", yes=yes):
            raise typer.Exit(1)
        done = sum(len(settle(connection, chunk)) for chunk in _chunks(chosen, f"{verb} {many}"))
    past = {"replay": "replayed", "discard": "discarded"}[verb]
    left = len(chosen) - done
    console().print(f"{past} {done}" + (f"; {left} settled before or not replayable" if left else ""))


def _chunks(ids: Sequence[UUID], what: str) -> Iterable[Sequence[UUID]]:
    parts = [ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)]
    out = errors()
    hidden = not sys.stderr.isatty() or len(parts) * 0.1 < PATIENCE.total_seconds()
    return track(parts, what, console=out, disable=hidden, transient=True)


def _row(letter: Letter) -> list[Cell]:
    state = f"[{letter.settled_as}] " if letter.settled_as else ""
    return [
        str(letter.id),
        letter.reason,
        letter.actor or letter.queue or "",
        ago(letter.created_at),
        state + one_line(letter.error),
    ]


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise CallboardError(
            f"{text!r} is no id of a dead letter: `callboard dead list` shows them"
        ) from None
