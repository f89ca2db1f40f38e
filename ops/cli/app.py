"""The commands, and how their errors are told: one line, exit status 1, no traceback.

A command's module is imported when it is run, not before: a shell asks for completions at every Tab.
"""

import importlib
import os
import sys
from importlib import metadata
from typing import Annotated, Any

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

COMMANDS = {
    "dev": "Everything in one terminal, reloaded when a file is saved.",
    "new": "Write a domain, an event, an actor or a pipeline, with its test.",
    "worker": "Perform runs until SIGTERM or Ctrl-C.",
    "publish": "Publish one event.",
    "runs": "What was done: list runs, show one whole, run it again, cancel.",
    "stats": "How actors have done: runs, success, times.",
    "pause": "Hold an actor or a pipeline back: its events wait.",
    "resume": "Let what is paused go on.",
    "trace": "The whole story of an event as a tree, from the database.",
    "why": "What explains an event's state, and what to do next.",
    "dead": "Dead letters: list, show, replay, discard.",
    "erase": "Forget what is about a person.",
    "pipelines": "Who hears what: list, show, draw.",
    "schedules": "What is published when: list, show, pause, resume, trigger, edit.",
    "webhooks": "What other services tell us: declared webhooks, their deliveries.",
    "realtime": "Tokens for those who listen to channels.",
    "check": "Everything that can be wrong before the first event travels.",
    "doctor": "Examine settings, servers, queues and work; each finding with its fix.",
    "alerts": "What should wake somebody, for cron and monitoring.",
    "contract": "What other services need to publish: AsyncAPI, JSON Schemas, models.",
    "settings": "What is in effect, and where it comes from.",
    "metrics": "Every metric: name, unit, labels, meaning.",
    "setup": "Users of RabbitMQ and roles of PostgreSQL, with what they need.",
    "migrate": "Bring the database to what the code needs.",
    "keys": "Who may publish over HTTP: list, create, rotate, revoke.",
    "people": "Who may sign in to the pages, and what they may do there.",
    "web": "The status page, webhooks and realtime channels.",
    "bench": "Measure ours against plain Dramatiq.",
    "chaos": "Break everything around the engine, and count what was lost.",
}
"""Name → what the list of commands says of it. The module of that name holds `app`, or a function of that name."""


class Later(TyperCommand):
    """Stands in the list for a command that is imported when it is called."""

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **extra: Any) -> Any:
        return _imported(str(self.name)).make_context(info_name, args, parent, **extra)


class Commands(TyperGroup):
    """Imports a command when it is called, and turns what it raises into a line on standard error."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, summary in COMMANDS.items():
            self.add_command(Later(name, help=summary))

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Whoever read us has seen enough (`callboard runs | head`); the interpreter must not try to flush again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except Exception as error:
            _tell(error)
        raise typer.Exit(1)


app = typer.Typer(
    name="callboard",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Durable, typed events for Dramatiq actors. Settings are CALLBOARD_* environment variables.",
)


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"callboard {metadata.version('callboard')}")
        raise typer.Exit


@app.callback()
def callboard(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_say_version, help="Say which version this is."),
    ] = False,
) -> None:
    pass


def main() -> None:
    app(prog_name="callboard")


def _imported(name: str) -> Any:
    module = importlib.import_module(f"ops.cli.{name}")
    around = typer.Typer(add_completion=False, callback=lambda: None)
    if hasattr(module, "app"):
        around.add_typer(module.app, name=name)
    else:
        around.command(name)(getattr(module, name))
    group = typer.main.get_command(around)
    assert isinstance(group, TyperGroup)
    return group.commands[name]


def _of_postgres(error: Any) -> str:
    """A refusal without the values it quotes; of a lost connection what libpq says, without a password."""
    from broker.database import without_values
    from broker.logs import redact
    from ops.cli.screen import one_line

    told = one_line(redact(str(error))) if error.sqlstate is None else without_values(error)
    return f"PostgreSQL refused it ({type(error).__name__}): {told}"


def _tell(error: Exception) -> None:
    """Raises the error again if it is none that a user could do something about."""
    import psycopg

    from broker.errors import CallboardError
    from ops.cli.screen import errors
    from ops.embedded.process import EmbeddedError
    from schemas import SchemaError

    if isinstance(error, psycopg.Error):
        message = _of_postgres(error)
    elif isinstance(error, CallboardError | SchemaError | EmbeddedError):
        message = str(error)
    else:
        raise error
    errors().print(f"error: {message}", style="red", soft_wrap=True)
