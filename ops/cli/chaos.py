"""`callboard chaos`: break everything around the engine, and count what was lost or doubled."""

import json as json_text
import secrets
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from broker import CallboardError, logs
from ops.chaos import plan, programme, report
from ops.chaos.programme import Trial
from ops.chaos.rows import ROWS
from ops.cli.screen import console, errors, table
from ops.cli.session import end_as_by_ctrl_c


def chaos(
    short: Annotated[bool, typer.Option("--short", help="Small loads, some crash points: minutes.")] = False,
    row: Annotated[list[str] | None, typer.Option("--row", "-r", help="Only this row. Repeatable.")] = None,
    red: Annotated[
        bool, typer.Option("--red", help="Take each row's guard away: an invariant must break then.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of all chances; else one by chance, which is told.")
    ] = None,
    events: Annotated[int | None, typer.Option("--events", "-n", min=1, help="A row.")] = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Results; what is in the file already is not tried again.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Append the results to this page.")
    ] = None,
    rows: Annotated[bool, typer.Option("--list", help="Say what the rows are.")] = False,
) -> None:
    """Faults on purpose, on a PostgreSQL and a RabbitMQ of their own. Exit status 1 when an invariant is broken."""
    if rows:
        console().print(
            table(["ROW", "WHAT HAPPENS"], [(each.name, each.what) for each in ROWS], wrapped=(1,))
        )
        return
    logs.configure("error")
    end_as_by_ctrl_c()
    seed = seed if seed is not None else secrets.randbelow(1_000_000)
    chosen = plan.rows_named(row or [], short=short)
    found = (
        plan.red_proofs(chosen, seed=seed)
        if red
        else plan.trials(chosen, seed=seed, short=short, events=events)
    )
    errors().print(f"seed {seed}: {len(found)} trials", style="dim")
    results = _tried(found, json)
    report.show(console(), results)
    if markdown is not None:
        with markdown.open("a") as page:
            page.write("\n" + report.to_markdown(results, date.today()))  # noqa: DTZ011  a person's day
    _conclude(results, red=red, seed=seed)


def _conclude(results: Sequence[dict[str, Any]], *, red: bool, seed: int) -> None:
    if red:
        whole = [result["row"] for result in results if not result["broken"]]
        if whole:
            raise CallboardError(f"nothing broke without its guard: {', '.join(whole)}; seed {seed}")
        console().print("each row fails without its guard, as it must", style="green")
        return
    broken = [f"{result['row']} on {result['transport']}" for result in results if result["broken"]]
    if broken:
        raise CallboardError(f"broken: {', '.join(broken)}; try again with --seed {seed}")
    console().print("nothing lost, nothing doubled, nothing left over", style="green")


def _tried(trials: Sequence[Trial], file: Path | None) -> list[dict[str, Any]]:
    known: list[dict[str, Any]] = (
        json_text.loads(file.read_text()) if file is not None and file.exists() else []
    )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    results: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory(prefix="callboard-chaos-", ignore_cleanup_errors=True) as folder,
        programme.servers(Path(folder)) as servers,
        Progress(*columns, console=errors()) as progress,
    ):
        for trial in trials:
            task = progress.add_task(f"{trial.name} on {trial.transport}", total=1)

            def say(done: int, wanted: int, task: Any = task) -> None:
                progress.update(task, completed=done, total=wanted)

            attempt = programme.attempt_until_red if trial.guard else programme.attempt
            result = _known(known, trial) or report.to_json(attempt(trial, servers, Path(folder), say))
            results.append(result)
            progress.update(task, completed=1, total=1)
            if file is not None:
                known = [*(each for each in known if each != result), result]
                file.write_text(json_text.dumps(known, indent=2) + "\n")
    return results


def _known(known: Sequence[dict[str, Any]], trial: Trial) -> dict[str, Any] | None:
    """The result of an earlier run with the same settings."""
    key = (trial.name, trial.transport, trial.seed, trial.size.events, trial.guard or None)
    for result in known:
        if key == tuple(result[name] for name in ("row", "transport", "seed", "events", "guard_broken")):
            return result
    return None
