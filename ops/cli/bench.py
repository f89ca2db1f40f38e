"""`callboard bench`: ours against plain Dramatiq, in one run on servers of its own."""

import json as json_text
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from broker import logs
from ops.bench import picture, programme, report
from ops.bench.figures import Servers
from ops.bench.machine import measure_limits
from ops.cli.screen import console, errors
from ops.cli.session import end_as_by_ctrl_c
from ops.embedded.postgres import EmbeddedPostgres
from ops.embedded.rabbitmq import EmbeddedRabbit

What = Literal["tiny", "chain", "steps", "latency", "async", "delayed", "tracing", "all"]


def bench(
    what: Annotated[What, typer.Argument(help="Which work; `all` takes some ten minutes.")],
    rounds: Annotated[int, typer.Option("--rounds", "-r", min=1, help="Of each side, alternating.")] = 5,
    events: Annotated[
        int | None, typer.Option("--events", "-n", min=1, help="A round; otherwise each scenario's own.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write every round's figures here.")] = None,
    svg: Annotated[Path | None, typer.Option("--svg", help="Draw the ratios here.")] = None,
) -> None:
    """Measure ours against plain Dramatiq: alternating rounds, ratios, CPU by server; `tracing` against ours without it and the
    bare SDK. Starts a PostgreSQL and a RabbitMQ of its own; quote ratios, figures do not travel."""
    logs.configure("warning")
    end_as_by_ctrl_c()
    with (
        tempfile.TemporaryDirectory(prefix="callboard-bench-") as folder,
        EmbeddedPostgres(Path(folder) / "postgres", settings={"max_connections": "200"}) as postgres,
        EmbeddedRabbit(Path(folder) / "rabbit") as rabbit,
    ):
        servers = Servers(postgres.dsn, rabbit.url, postgres.pid, rabbit.pid)
        limits = measure_limits(servers.dsn, servers.amqp)
        results = _measured(servers, what, rounds, events)
    report.show(console(), results, limits)
    if json is not None:
        json.write_text(json_text.dumps(report.to_json(results, limits), indent=2) + "\n")
    if svg is not None:
        svg.write_text(picture.draw(results.comparisons))


def _measured(servers: Servers, what: What, rounds: int, events: int | None) -> programme.Results:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors(), transient=True) as progress:
        task = progress.add_task("starting", total=programme.steps_of(what, rounds))

        def say(doing: str) -> None:
            progress.update(task, description=doing, advance=1)

        return programme.run(servers, what, rounds, events, say)
