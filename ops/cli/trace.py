"""`callboard trace`: the whole story of an event as a tree: who caused what, when, for how long, and what went wrong."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from broker.chains import now, stories
from broker.errors import NotFoundError
from broker.history import RunStory, chain, runs_of
from ops.cli.screen import Cell, console, emit_json, facts, one_line, status, table, took
from ops.cli.session import connected, settings_of_command
from ops.cli.timeline import in_causal_order

Row = tuple[Cell, Cell, str, str, str]


def trace(
    reference: Annotated[
        str, typer.Argument(metavar="EVENT_ID|RUN_ID", help="Any event or run of the story.")
    ],
    json: Annotated[bool, typer.Option("--json", help="For scripts: one JSON document.")] = False,
) -> None:
    """The story that an event is part of, from its first event on: runs, steps, failed attempts, waits, dead letters.

    Read from the database, so it needs no tracing backend, and tells what sampling has left out."""
    settings = settings_of_command()
    with connected(settings) as connection:
        found = runs_of(connection, reference)
        if not found:
            raise NotFoundError(
                f"no run and no run's event has the id {reference}: `callboard why {reference}` looks further"
            )
        told = stories(connection, chain(connection, found[0].correlation_id))
        moment = now(connection)
    if json:
        emit_json(told)
        return
    _show(console(), told, moment, settings.trace_url)


def _show(out: Console, told: list[RunStory], moment: datetime, backend: str) -> None:
    runs = [story.run for story in told]
    began = min(run.event_time for run in runs)
    ended = max((run.finished_at or moment for run in runs), default=moment)
    ids = list(dict.fromkeys(run.trace_id for run in runs if run.trace_id))
    many = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
    out.print(
        Text(f"story {runs[0].correlation_id}", style="bold").append(
            f", {many} in {took(ended - began)}", style="not bold"
        )
    )
    links = (
        [(name, backend.replace("{trace_id}", id)) for name, id in [("open", ids[0])] if backend and ids]
        if ids
        else []
    )
    out.print(facts([*(("trace", id) for id in ids), *links]))
    out.print()
    by_id = {story.run.id: story for story in told}
    rows = [row for run, depth in in_causal_order(runs) for row in _rows(by_id[run.id], depth, began, moment)]
    out.print(table(["WHAT", "STATE", "AT", "TOOK", "NOTE"], rows))


def _rows(story: RunStory, depth: int, began: datetime, moment: datetime) -> Iterator[Row]:
    run = story.run
    at = run.started_at or run.created_at
    again = f", attempt {run.attempt}" if run.attempt > 1 else ""
    lasted = took(run.lasted) if run.started_at is not None else ""
    note = one_line(run.reason or "") if run.status != "completed" else ""
    yield (
        Text("  " * depth + run.actor, style="bold"),
        status(run.status).append(again, style="dim"),
        _since(began, at),
        lasted,
        note,
    )
    inner: list[tuple[datetime, Row]] = []
    for step in story.steps:
        tries = f", try {step.tries}" if step.tries > 1 else ""
        name = step.name if step.occurrence == 0 else f"{step.name} #{step.occurrence + 1}"
        state = Text(f"{step.status}{tries}", style="" if step.status == "done" else "yellow")
        length = took(step.lasted) if step.status == "done" else took(moment - step.started_at)
        inner.append(
            (step.started_at, _below(depth, name, state, _since(began, step.started_at), length, step.error))
        )
    for attempt in story.attempts:
        state = Text(f"attempt {attempt.attempt} failed", style="red")
        wait = f"again after {took(attempt.delay)}" if attempt.delay is not None else "given up"
        inner.append(
            (
                attempt.failed_at,
                _below(depth, wait, state, _since(began, attempt.failed_at), "", attempt.error),
            )
        )
    for letter in story.letters:
        state = Text(letter.settled_as or "open", style="" if letter.settled_as else "red")
        inner.append(
            (
                letter.created_at,
                _below(
                    depth,
                    f"dead letter {letter.id}",
                    state,
                    _since(began, letter.created_at),
                    "",
                    letter.reason,
                ),
            )
        )
    yield from (row for _, row in sorted(inner, key=lambda pair: pair[0]))


def _below(depth: int, what: str, state: Text, at: str, length: str, note: str | None) -> Row:
    return Text("  " * depth + "· " + one_line(what), style="dim"), state, at, length, one_line(note or "")


def _since(began: datetime, at: datetime) -> str:
    return f"+{took(max(at - began, timedelta(0)))}"
