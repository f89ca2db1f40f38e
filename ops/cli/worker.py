"""`callboard worker`: the supervised processes that perform runs."""

from typing import Annotated

import typer

from broker import load_settings
from ops.boot import load, make_broker
from ops.cli import completion
from ops.cli.screen import errors
from ops.reach import configure_logs
from ops.supervisor import Supervisor
from ops.worker_process import select


def worker(
    processes: Annotated[int, typer.Option("--processes", "-p", min=1, max=64, help="Worker processes.")] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            "-t",
            min=1,
            max=256,
            help="Worker threads a process; else as CALLBOARD_THREADS says.",
        ),
    ] = None,
    actors: Annotated[
        list[str] | None,
        typer.Option(
            "--actors",
            "-a",
            help="Only these actors: a glob such as 'orders.*'. Repeatable.",
            autocompletion=completion.actors,
        ),
    ] = None,
) -> None:
    """Perform runs until SIGTERM or Ctrl-C; a second one ends everything at once.

    Besides the worker processes there is one for quarantine, with a single slot: runs that have killed a worker twice go there.
    Prints "ready" on standard output when all of them serve; logs go to standard error.
    """
    settings = load_settings()
    configure_logs(settings)
    app = load(settings)
    chosen = select(app.actors, actors or [])
    make_broker(app, settings)
    _ = settings.database  # raises when no database is set
    workers = "1 worker process" if processes == 1 else f"{processes} worker processes"
    supervisor = Supervisor(
        processes,
        threads or settings.threads,
        tuple(actors or ()),
        grace=settings.grace,
        on_ready=lambda: print(f"ready: {workers} and quarantine, {len(chosen)} actors", flush=True),
        say=lambda text: errors().print(text, soft_wrap=True),
    )
    raise typer.Exit(supervisor.run())
