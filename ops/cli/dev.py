"""`callboard dev`: everything in one terminal, reloaded as files are saved."""

from typing import Annotated, Literal

import typer

from ops.cli.screen import console
from ops.cli.session import end_as_by_ctrl_c, settings_of_command
from ops.dev.house import Wishes, develop


def dev(
    broker: Annotated[
        Literal["postgres", "rabbitmq"] | None,
        typer.Option(
            "--broker",
            "-b",
            help="The transport; otherwise rabbitmq where CALLBOARD_BROKER_URL is set, else postgres.",
        ),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", "-w", min=1, max=64, help="Worker processes.")] = 1,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=1, max=65_535, help="Of the status page; otherwise 8094, or any that is free."
        ),
    ] = None,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Serve the status page.")] = True,
) -> None:
    """Run the house while you write it: servers, workers, chains as they happen, a status page.

    Starts a PostgreSQL of its own unless CALLBOARD_DATABASE_URL is set, and migrates.
    Takes up the packages of CALLBOARD_APPS, or this checkout's rooms, whenever a file is saved.
    Code that does not boot is told with its line; the last good code goes on.
    """
    settings_of_command()
    end_as_by_ctrl_c()
    out = console()
    try:
        develop(out, Wishes(broker, workers, port, page=page))
    except KeyboardInterrupt:
        out.print("\nstopped", style="dim")
