"""`callboard runs`: what was done, what is being done, and why something is not."""

from dataclasses import replace
from typing import Annotated

import typer

from broker import CallboardError, reopen
from broker.audit import note_reveal
from broker.errors import NotFoundError
from broker.history import STATUSES, RunRow, RunStory, chain, list_runs, runs_of, story
from broker.reopen import Again
from broker.wiring import nearest
from ops.boot import load
from ops.choosing import Data, FromStep, Who, edited, person
from ops.cli.cancelling import cancel_runs
from ops.cli.marked import Reveal, without_marked
from ops.cli.screen import Cell, ago, console, emit_json, one_line, status, table, took
from ops.cli.session import connected, loaded, settings_of_command
from ops.cli.timeline import show_chain, show_story, show_traces
from schemas.marks import HIDDEN

app = typer.Typer(
    help="List runs, newest first; `show` tells one with everything that happened to it; rerun, cancel."
)

Json = Annotated[bool, typer.Option("--json", help="For scripts: one JSON document, nothing cut off.")]


@app.callback(invoke_without_command=True)
def runs(
    ctx: typer.Context,
    wanted: Annotated[
        str | None, typer.Option("--status", "-s", help=f"One of {', '.join(STATUSES)}.")
    ] = None,
    actor: Annotated[str | None, typer.Option("--actor", "-a", help="Only this actor's.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000)] = 30,
    json: Json = False,
) -> None:
    if ctx.invoked_subcommand is not None:
        return
    if wanted is not None and wanted not in STATUSES:
        raise CallboardError(
            f"--status {wanted!r}{nearest(wanted, STATUSES)}; statuses are {', '.join(STATUSES)}"
        )
    with connected(settings_of_command()) as connection:
        found = list_runs(connection, status=wanted, actor=actor, limit=limit)
    if json:
        emit_json(found)
    elif not found:
        console().print(
            "no runs" + (" like that" if wanted or actor else " yet: `callboard publish` hands an event over")
        )
    else:
        console().print(
            table(["RUN", "ACTOR", "STATUS", "TRY", "AGE", "TOOK", "NOTE"], [_row(run) for run in found])
        )


@app.command()
def show(
    reference: Annotated[
        str, typer.Argument(metavar="RUN_ID|EVENT_ID", help="Of an event, all its runs are shown.")
    ],
    traces: Annotated[
        bool, typer.Option("--traces", help="Also the stack trace of each failed attempt.")
    ] = False,
    reveal: Reveal = False,
    by: Who = None,
    json: Json = False,
) -> None:
    """The timeline of a run: its event, steps, failed attempts with their delays, dead letters, and the story it is part of.

    With --json also its payload, without what is marked as secret or personal.
    """
    settings = settings_of_command()
    if json and not reveal:
        load(settings)
    with connected(settings) as connection:
        found = runs_of(connection, reference)
        if not found:
            raise NotFoundError(
                f"no run and no run's event has the id {reference}: `callboard why {reference}` looks further"
            )
        stories = [story(connection, run) for run in found]
        whole = chain(connection, found[0].correlation_id)
        if json and reveal:
            note_reveal(connection, person(by), *(run.id for run in found))
    if json:
        emit_json({"runs": stories if reveal else [_hidden(told) for told in stories], "chain": whole})
        return
    out = console()
    for told in stories:
        show_story(out, told)
        if traces:
            show_traces(out, told)
    show_chain(out, whole, {run.id for run in found})


@app.command()
def rerun(
    id: Annotated[str, typer.Argument(metavar="RUN_ID")],
    from_step: FromStep = None,
    data: Data = None,
    edit: Annotated[bool, typer.Option("--edit", help="Change the payload in $EDITOR first.")] = False,
    by: Who = None,
) -> None:
    """Run a finished run again, from the start or from a step whose earlier ones are kept. What it publishes are new events."""
    settings = settings_of_command()
    if data is not None or edit:
        loaded(settings)
    with connected(settings) as connection:
        run = next((run for run in runs_of(connection, id) if str(run.id) == id), None)
        if run is None:
            raise NotFoundError(f"no run {id}: `callboard runs` lists the newest")
        payload = edited(data, edit=edit, original=run.event)
        reopen.rerun(connection, run.id, Again(person(by), from_step, steps=False, event=payload))
    where = f"from step {from_step!r}" if from_step else "from the start"
    console().print(f"run {id} goes on {where}; callboard runs show {id}")


app.command("cancel")(cancel_runs)


def _hidden(told: RunStory) -> RunStory:
    """What a run returned has no marks that we know."""
    run = told.run
    event = without_marked(run.event_type, run.event)
    return replace(told, run=replace(run, event=event, result=None if run.result is None else HIDDEN))


def _row(run: RunRow) -> list[Cell]:
    lasted = took(run.lasted) if run.started_at is not None else ""
    return [
        str(run.id),
        run.actor,
        status(run.status),
        _tries(run),
        ago(run.created_at),
        lasted,
        note_of(run),
    ]


def _tries(run: RunRow) -> str:
    return str(run.attempt) if not run.crashes else f"{run.attempt}+{run.crashes}"


def note_of(run: RunRow) -> str:
    """Why it stands where it stands: `throttle, in 12 s`."""
    due = ""
    if run.due_in is not None:
        due = f"in {took(run.due_in)}" if run.due_in.total_seconds() > 0 else "due"
    return ", ".join(part for part in (one_line(run.reason or ""), due) if part)
