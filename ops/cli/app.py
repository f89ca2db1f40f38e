"""The commands, and how their errors are told: one line, exit status 1, no traceback."""

import os
import sys
from typing import Any

import psycopg
import typer
from typer.core import TyperGroup

from broker.errors import CallboardError
from broker.logs import redact
from ops.cli import bench, check, dead, doctor, migrate, pipelines, publish, runs, settings, why, worker
from ops.cli.screen import errors, one_line
from schemas import SchemaError


class Commands(TyperGroup):
    """Turns what a command raises into a line on standard error."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (CallboardError, SchemaError) as error:
            self._told(str(error))
        except psycopg.Error as error:
            self._told(f"PostgreSQL refused it ({type(error).__name__}): {one_line(redact(str(error)))}")
        except BrokenPipeError:
            # Whoever read us has seen enough (`callboard runs | head`); the interpreter must not try to flush again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1)

    @staticmethod
    def _told(message: str) -> None:
        errors().print(f"error: {message}", style="red", soft_wrap=True)


app = typer.Typer(
    name="callboard",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Durable, typed events for Dramatiq actors. Settings are CALLBOARD_* environment variables.",
)
app.command("worker")(worker.worker)
app.command("publish")(publish.publish)
app.add_typer(runs.app, name="runs")
app.command("why")(why.why)
app.add_typer(dead.app, name="dead")
app.add_typer(pipelines.app, name="pipelines")
app.command("check")(check.check)
app.command("doctor")(doctor.doctor)
app.command("settings")(settings.settings)
app.command("migrate")(migrate.migrate)
app.command("bench")(bench.bench)


def main() -> None:
    app(prog_name="callboard")
