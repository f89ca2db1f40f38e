"""`callboard realtime`: tokens for those who listen."""

from datetime import timedelta
from typing import Annotated

import typer

from broker import realtime_token
from ops.cli.screen import errors, took
from ops.cli.session import settings_of_command

app = typer.Typer(no_args_is_help=True, help="Realtime channels: a token that opens them.")


@app.callback()
def realtime() -> None:
    pass


@app.command()
def token(
    channels: Annotated[list[str], typer.Argument(metavar="CHANNEL...", help="Such as user-42.")],
    seconds: Annotated[int, typer.Option("--for", min=1, help="How many seconds it lasts.")] = 3600,
) -> None:
    """Print a token with which one may listen to these channels, signed with CALLBOARD_REALTIME_SECRET."""
    lasts = timedelta(seconds=seconds)
    print(realtime_token(*channels, lasts=lasts, settings=settings_of_command()))
    if (out := errors()).is_terminal:
        out.print(f"lasts {took(lasts)}: GET /realtime/{channels[0]}?token=…", style="dim")
