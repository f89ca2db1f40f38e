"""`callboard stats`: how actors have done."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from broker.stats import ActorStats, actor_stats
from ops.choosing import moment
from ops.cli.screen import Cell, console, emit_json, table, took
from ops.cli.session import connected, settings_of_command


def stats(
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="Runs since then: 2h, 3d, or 2026-11-26T10:00.")
    ] = "24h",
    actor: Annotated[str | None, typer.Option("--actor", "-a", help="Only this actor's.")] = None,
    json: Annotated[bool, typer.Option("--json", help="For scripts; times in seconds.")] = False,
) -> None:
    """Runs, success and times of each actor, the busiest first.

    WAITED is from known to the first start, TOOK from there to the end with all retries and sleeps: median, then 95th percentile.
    """
    began = moment(since)
    assert began is not None
    with connected(settings_of_command()) as connection:
        found = actor_stats(connection, began, actor)
    if json:
        emit_json([{**asdict(each), "success": each.success} for each in found])
    elif found:
        heads = ["ACTOR", "RUNS", "SUCCESS", "FAILED", "RETRIED", "LEFT OUT", "UNFINISHED", "WAITED", "TOOK"]
        console().print(table(heads, [_row(each) for each in found]))
    else:
        console().print(f"no runs since {since}")


def _row(each: ActorStats) -> list[Cell]:
    return [
        each.actor,
        f"{each.runs:,}",
        f"{each.success:.1%}" if each.success is not None else "",
        *(
            f"{count:,}" if count else ""
            for count in (each.failed, each.retried, each.left_out, each.unfinished)
        ),
        _times(each.waited, each.waited_95),
        _times(each.took, each.took_95),
    ]


def _times(*lengths: timedelta | None) -> str:
    return " / ".join(took(length, 1) for length in lengths if length is not None)
