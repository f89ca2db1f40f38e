"""`callboard web`: the status page, and what other services call."""

import signal
import threading
from typing import Annotated

import typer

from ops.boot import load
from ops.cli.screen import console, errors
from ops.cli.session import settings_of_command
from ops.web.server import HOST, is_loopback, serving


def web(
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65_535, help="Otherwise 8094, or any that is free.")
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="The address to listen on. Beyond this machine everybody signs in.")
    ] = HOST,
) -> None:
    """Serve pages of runs and their chains, live, until Ctrl-C. They show no payload.

    Who may look and act there: `callboard people`. Events, webhooks, triggers of schedules and realtime channels are answered
    too, where their keys and secrets are set.
    """
    settings = settings_of_command()
    _ = settings.database  # raises when no database is set
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    with serving(settings, host=host, port=port, loaded=load(settings)) as page:
        console().print(f"status page: {page}", soft_wrap=True)
        if not is_loopback(host):
            errors().print(
                "passwords travel in plain here: put a proxy that speaks TLS before it", style="yellow"
            )
        over.wait()
