"""`callboard alerts`: what should wake somebody."""

from typing import Annotated

import typer
from rich.text import Text

from ops.cli.screen import console, emit_json, table
from ops.cli.session import settings_of_command
from ops.doctor.alert_settings import AlertSettings
from ops.doctor.alerts import Alert
from ops.doctor.alerts import check as checked

app = typer.Typer(
    no_args_is_help=True, help="What should wake somebody: backlog, failures, dead letters, workers."
)


@app.callback()
def alerts() -> None:
    """`check` would be the whole command without it."""


@app.command()
def check(json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False) -> None:
    """Hold what stands against its limits, CALLBOARD_ALERT_*. Changes nothing; exit status 1 if something gives alarm."""
    found = checked(settings_of_command(), AlertSettings.load())
    if json:
        emit_json(found)
    else:
        console().print(
            table(["", "ALERT", "FOUND", "LIMIT"], [_row(alert) for alert in found], wrapped=(2,))
        )
    if any(alert.alarm for alert in found):
        raise typer.Exit(1)


def _row(alert: Alert) -> tuple[Text, str, str, str]:
    state = Text("ALARM", style="bold red") if alert.alarm else Text("ok", style="green")
    return state, alert.name, alert.found, alert.limit
