"""`callboard dead`: what we stopped trying, and what a person decides about it."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated
from uuid import UUID

import typer
from psycopg import Connection
from rich.progress import track

from broker import CallboardError, dead_letters
from broker.audit import note_reveal
from broker.dead_letters import Filter, Letter
from broker.reopen import Again
from ops.choosing import (
    By,
    Data,
    Error,
    Every,
    FromStep,
    Ids,
    Kind,
    Reason,
    Since,
    Until,
    Who,
    Yes,
    chosen,
    edited,
    letter_id,
    person,
)  # fmt: skip
from ops.cli.letter import hidden, show_letter
from ops.cli.marked import Reveal
from ops.cli.screen import Cell, ago, clock, console, emit_json, errors, one_line, table
from ops.cli.session import confirmed, connected, loaded, settings_of_command

app = typer.Typer(
    no_args_is_help=True, help="Dead letters: events that we stopped trying, kept until someone decides."
)

CHUNK = 50
"""Letters a commit: small enough that a Ctrl-C loses little and row locks are short."""
WORTH_A_BAR = 1000
"""Letters without a rate: some two seconds, from which on a person wants to see progress."""

Json = Annotated[bool, typer.Option("--json", help="For scripts: one JSON document, nothing cut off.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say how many, and do nothing.")]
Settle = Callable[[Connection, Sequence[UUID]], list[UUID]]


@app.command("list")
def list_(
    reason: Reason = None,
    actor: By = None,
    kind: Kind = None,
    since: Since = None,
    until: Until = None,
    error: Error = None,
    everything: Annotated[bool, typer.Option("--all", help="Also events that nobody hears.")] = False,
    settled: Annotated[bool, typer.Option("--settled", help="Also those replayed or discarded.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000)] = 100,
    json: Json = False,
) -> None:
    """Open dead letters, newest first."""
    wanted = replace(chosen(reason, actor, kind, since, until, error), unheard=everything)
    settings = settings_of_command()
    with connected(settings) as connection:
        found = dead_letters.list_letters(connection, wanted, settled=settled, limit=limit)
        counts = dead_letters.count_letters(connection)
    if json:
        loaded(settings)
        emit_json([hidden(letter) for letter in found])
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
def show(
    id: Annotated[str, typer.Argument(metavar="ID")],
    reveal: Reveal = False,
    by: Who = None,
    json: Json = False,
) -> None:
    """One dead letter, whole: event, attempts, errors. What is marked as secret or personal is shown as ***."""
    settings = settings_of_command()
    if not reveal:
        loaded(settings)
    with connected(settings) as connection:
        letter = dead_letters.get_letter(connection, letter_id(id))
        if reveal:
            note_reveal(connection, person(by), letter.id)
        else:
            letter = hidden(letter)
    emit_json(letter) if json else show_letter(console(), letter)


@app.command()
def replay(
    ids: Ids = None,
    reason: Reason = None,
    actor: By = None,
    kind: Kind = None,
    since: Since = None,
    until: Until = None,
    error: Error = None,
    everything: Every = False,
    rate: Annotated[float | None, typer.Option("--rate", min=0.01, help="At most so many a second.")] = None,
    data: Data = None,
    edit: Annotated[bool, typer.Option("--edit", help="Change the payload in $EDITOR first.")] = False,
    from_step: FromStep = None,
    by: Who = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Try them again: the same run goes on in its actor, attempts start anew, finished steps are kept. Each letter once.

    Interrupted, it goes on where it was when called again."""
    wanted = chosen(reason, actor, kind, since, until, error)
    settings = settings_of_command()
    payload: bytes | None = None
    if data is not None or edit:
        loaded(settings)
        if ids is None or len(ids) != 1:
            raise CallboardError("an edited payload is for one dead letter: give its id")
    with connected(settings) as connection:
        if ids and (data is not None or edit):
            payload = edited(
                data, edit=edit, original=dead_letters.get_letter(connection, letter_id(ids[0])).payload
            )
        again = Again(person(by), from_step=from_step, event=payload)
        task = Task("replay", "replayed", lambda c, some: dead_letters.replay(c, some, again), rate)
        task.run(connection, ids, wanted, everything=everything, dry_run=dry_run, yes=yes)


@app.command()
def discard(
    ids: Ids = None,
    reason: Reason = None,
    actor: By = None,
    kind: Kind = None,
    since: Since = None,
    until: Until = None,
    error: Error = None,
    everything: Every = False,
    by: Who = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Settle them without another try."""
    wanted = chosen(reason, actor, kind, since, until, error)
    with connected(settings_of_command()) as connection:
        task = Task("discard", "discarded", lambda c, some: dead_letters.discard(c, some, person(by)))
        task.run(connection, ids, wanted, everything=everything, dry_run=dry_run, yes=yes)


class Task:
    """One verb over many letters: chosen, confirmed, done in chunks at a rate, and told."""

    def __init__(self, verb: str, past: str, settle: Settle, rate: float | None = None) -> None:
        self._verb = verb
        self._past = past
        self._settle = settle
        self._rate = rate

    def run(
        self,
        connection: Connection,
        ids: list[str] | None,
        wanted: Filter,
        *,
        everything: bool,
        dry_run: bool,
        yes: bool,
    ) -> None:
        bulk = everything or wanted.bounds
        if bulk == bool(ids):
            raise CallboardError(
                f"say which: `callboard dead {self._verb} ID...`, a filter such as --reason, or --all"
            )
        named = [letter_id(id) for id in ids or []]
        letters = dead_letters.open_letters(connection, wanted) if bulk else named
        many = "1 dead letter" if len(letters) == 1 else f"{len(letters)} dead letters"
        if dry_run or not letters:
            console().print(f"would {self._verb} {many}" if letters else "no open dead letters like that")
            return
        if bulk and not confirmed(f"{self._verb.capitalize()} {many}?", yes=yes):
            raise typer.Exit(1)
        done = [
            id
            for chunk in self._chunks(letters, f"{self._verb} {many}")
            for id in self._settle(connection, chunk)
        ]
        self._tell(connection, letters, done)

    def _chunks(self, ids: Sequence[UUID], what: str) -> Iterator[Sequence[UUID]]:
        size = CHUNK if self._rate is None else max(1, min(CHUNK, int(self._rate)))
        parts = [ids[start : start + size] for start in range(0, len(ids), size)]
        slow = self._rate is not None or len(ids) >= WORTH_A_BAR
        hidden = not (sys.stderr.isatty() and slow)
        for part in track(parts, what, console=errors(), disable=hidden, transient=True):
            began = time.monotonic()
            yield part
            if self._rate is not None and part is not parts[-1]:
                time.sleep(max(0.0, len(part) / self._rate - (time.monotonic() - began)))

    def _tell(self, connection: Connection, letters: Sequence[UUID], done: Sequence[UUID]) -> None:
        out = console()
        out.print(f"{self._past} {len(done)}")
        left = [id for id in letters if id not in set(done)]
        for id in left[:5]:
            letter = dead_letters.get_letter(connection, id)
            when = clock(letter.settled_at) if letter.settled_at is not None else "an unknown time"
            out.print(f"{id} was {letter.settled_as} before, by {letter.settled_by or 'somebody'} at {when}")
        if len(left) > 5:
            out.print(f"… and {len(left) - 5} more were settled before")


def _row(letter: Letter) -> list[Cell]:
    state = f"[{letter.settled_as}] " if letter.settled_as else ""
    return [
        str(letter.id),
        letter.reason,
        letter.actor or letter.queue or "",
        ago(letter.created_at),
        state + one_line(letter.error),
    ]
