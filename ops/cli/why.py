"""`callboard why`: what explains an event's state, and what to do next."""

from typing import Annotated

import typer

from broker.errors import ConfigurationError
from ops.boot import App, load
from ops.cli.screen import COLOURS, console, emit_json, errors, facts
from ops.cli.session import connected, settings_of_command
from ops.evidence import look
from ops.explain import explain


def why(
    event: Annotated[str, typer.Argument(metavar="EVENT_ID", help="A run's id does too.")],
    json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Say which binding, run, limit, due time, attempt, dead letter or missing worker explains an event's state."""
    settings = settings_of_command()
    try:
        app = load(settings)
    except ConfigurationError as error:
        # A broken application is when this command is needed most.
        errors().print(f"looking without the application's actors: {error}", style="yellow", soft_wrap=True)
        app = App()
    with connected(settings) as connection:
        found = look(connection, settings, app, event.strip())
    findings = explain(found)
    if json:
        emit_json({"event_id": found.event_id, "findings": findings})
        return
    out = console()
    for finding in findings:
        out.print(
            f"{finding.subject}: {finding.state}", style=COLOURS.get(finding.state, "bold"), soft_wrap=True
        )
        out.print(facts([("because", finding.why), ("next", finding.next)]))
