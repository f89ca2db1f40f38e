"""`callboard runs cancel`: end what is not over, one run or many, and say what became of each."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated
from uuid import UUID

import typer
from psycopg import Connection
from rich.console import Console
from rich.progress import track

from broker import CallboardError
from broker.cancel import PAGE, Selection, Verdict, cancel, live_runs
from broker.cancel_sweep import spread
from broker.history import UNFINISHED
from broker.topology import Topology, topology
from broker.wiring import nearest
from ops.choosing import By, Kind, Who, Yes, person, run_id
from ops.cli.screen import console, errors
from ops.cli.session import confirmed, connected, settings_of_command

WORTH_A_BAR = 1000
"""Runs: some seconds, from which on a person wants to see progress."""

Ids = Annotated[
    list[str] | None, typer.Argument(metavar="RUN_ID...", help="Of runs, as `callboard runs` shows them.")
]
Line = Annotated[str | None, typer.Option("--pipeline", "-p", metavar="NAME", help="Of this pipeline.")]
Status = Annotated[
    str | None, typer.Option("--status", "-s", help=f"Only those that are {', '.join(UNFINISHED)}.")
]
Key = Annotated[
    list[str] | None,
    typer.Option("--key", "-k", metavar="PATH=VALUE", help="Whose event has this; may be repeated."),
]
Reason = Annotated[
    str | None, typer.Option("--reason", "-r", metavar="TEXT", help="Why, for those who look.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say how many, and do nothing.")]


def cancel_runs(
    ids: Ids = None,
    actor: By = None,
    kind: Kind = None,
    pipeline: Line = None,
    wanted: Status = None,
    key: Key = None,
    reason: Reason = None,
    by: Who = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """End runs that are not over, with those that they have invoked. Exit status 1 if none could be.

    What waits ends at once, a coroutine where it awaits, a thread at its next verb.

    Nothing that it still writes is kept. `callboard runs rerun` runs one again."""
    selection = Selection(actor, kind, pipeline, _status(wanted), [_pair(text) for text in key or ()])
    if selection.bounds == bool(ids):
        raise CallboardError("say which: `callboard runs cancel RUN_ID...`, or a filter such as --actor")
    settings = settings_of_command()
    with connected(settings) as connection:
        named = [run_id(text) for text in ids or ()] or live_runs(connection, selection)
        many = "1 run" if len(named) == 1 else f"{len(named)} runs"
        if dry_run or not named:
            console().print(f"would cancel {many}" if named else "no runs like that are under way")
            return
        if not ids and not confirmed(f"Cancel {many}?", yes=yes):
            raise typer.Exit(1)
        house = topology(settings.namespace, {})
        verdicts, children = cancel_all(connection, house, named, person(by), reason)
        _tell(console(), verdicts, children, listed=bool(ids))
    if not any(verdict.cancelled for verdict in verdicts):
        raise typer.Exit(1)


def cancel_all(
    connection: Connection, house: Topology, ids: Sequence[UUID], by: str, reason: str | None
) -> tuple[list[Verdict], int]:
    """Cancel runs, a page a commit, and those that they have invoked: what became of each, and how many were invoked.

    May be repeated: what is over is told as such. The invoked are ended here because there may be no worker to do it.
    """
    verdicts = [verdict for page in _pages(ids) for verdict in cancel(connection, house, page, by, reason)]
    children = 0
    while page := spread(connection, house):
        children += page
    return verdicts, children


def _status(wanted: str | None) -> str | None:
    if wanted is not None and wanted not in UNFINISHED:
        raise CallboardError(
            f"--status {wanted!r}{nearest(wanted, UNFINISHED)}; what can be cancelled is {', '.join(UNFINISHED)}"
        )
    return wanted


def _pair(text: str) -> tuple[str, str]:
    path, found, value = text.partition("=")
    if not (path and found):
        raise CallboardError(f"--key {text!r}: write PATH=VALUE, such as user_id=42 or order.id=o-7")
    return path, value


def _pages(ids: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    pages = [ids[start : start + PAGE] for start in range(0, len(ids), PAGE)]
    hidden = not (sys.stderr.isatty() and len(ids) >= WORTH_A_BAR)
    yield from track(pages, f"cancel {len(ids)} runs", console=errors(), disable=hidden, transient=True)


def _tell(out: Console, verdicts: Sequence[Verdict], children: int, *, listed: bool) -> None:
    for verdict in verdicts if listed else ():
        out.print(f"{verdict.id} {_told(verdict)}")
    done = Counter(verdict.was for verdict in verdicts if verdict.cancelled)
    if not listed or len(verdicts) > 1 or children:
        over = len(verdicts) - done.total()
        parts = [f"cancelled {done.total()}"]
        parts += [f"{children} invoked by them"] if children else []
        parts += [f"{over} were over before" if not listed else f"{over} could not be"] if over else []
        out.print(", ".join(parts))
    if done["running"]:
        out.print(
            "bodies that run stop at their next await or verb; nothing they still write is kept", style="dim"
        )


def _told(verdict: Verdict) -> str:
    if verdict.cancelled:
        return f"cancelled, was {verdict.was}"
    return f"already {verdict.was}" if verdict.was else "unknown: no run has this id"
