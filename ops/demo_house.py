"""What the demo brings up: database, workers and a site, started together and stopped in order."""

import os
import selectors
import shlex
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg
from rich.console import Console

from broker import Settings, load_settings
from broker.migrate import migrate
from ops.boot import App, load
from ops.cli.screen import took
from ops.demo_report import DemoError
from ops.demo_site.server import DemoSite
from ops.embedded.postgres import EmbeddedPostgres
from ops.embedded.process import launch_command, tail
from ops.reach import unreachable

START_LIMIT = timedelta(seconds=60)
"""For the workers; 2 to 4 s on two shared cores."""
SITE_PORT = 8093
"""Preferred, so that a scan left over from a killed demo still finds its page; any other if it is taken."""


@dataclass(frozen=True, slots=True)
class House:
    """What runs, for as long as `running` is open."""

    settings: Settings
    app: App
    site: DemoSite
    workers: "subprocess.Popen[str]"
    log: Path

    def refuse_dead_workers(self) -> None:
        """Raises DemoError with the end of their log."""
        if self.workers.poll() is not None:
            raise DemoError(
                f"the workers ended with status {self.workers.returncode}; the end of {self.log}:\n{tail(self.log)}"
            )


@contextmanager
def running(out: Console, data: Path) -> Generator[House]:
    """Start everything, stop it in order. Raises CallboardError and EmbeddedError."""
    with ExitStack() as stack:
        site = stack.enter_context(_site())
        environment = {
            "CALLBOARD_DEMO": "1",
            "CALLBOARD_DATA": str(data),
            **_allowed(site),
            **_database(stack, out, data),
        }
        os.environ.update(environment)
        settings = load_settings()
        app = load(settings)
        try:
            applied = migrate(settings.database, app.migrations(settings.namespace))
        except psycopg.OperationalError as error:
            raise unreachable(settings, error) from error
        out.print(f"database ready, {len(applied)} migration(s) applied", style="dim")
        _write_environment(data / "env", environment)
        log = data / "worker.log"
        workers = stack.enter_context(_workers(log, settings.grace))
        out.print("workers ready: 1 process and quarantine", style="dim")
        yield House(settings, app, site, workers, log)


def _site() -> DemoSite:
    try:
        return DemoSite(SITE_PORT)
    except OSError:
        return DemoSite()


def _allowed(site: DemoSite) -> Mapping[str, str]:
    """Pages on this machine are refused unless allowed."""
    hosts = [host for host in os.environ.get("CALLBOARD_PAGES_ALLOWED_HOSTS", "").split(",") if host]
    return {"CALLBOARD_PAGES_ALLOWED_HOSTS": ",".join([*hosts, site.host])}


def _database(stack: ExitStack, out: Console, data: Path) -> Mapping[str, str]:
    """The given one, or our own below `data`."""
    given = os.environ.get("CALLBOARD_DATABASE_URL")
    if given:
        return {"CALLBOARD_DATABASE_URL": given}
    out.print("starting PostgreSQL", style="dim")
    return {"CALLBOARD_DATABASE_URL": stack.enter_context(EmbeddedPostgres(data / "postgres")).dsn}


def _write_environment(path: Path, environment: Mapping[str, str]) -> None:
    """For a shell: `. .state/env`. It holds a DSN, so it is its owner's alone."""
    told = {name: value for name, value in os.environ.items() if name.startswith("CALLBOARD_")} | dict(
        environment
    )
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(told.items()))


@contextmanager
def _workers(log: Path, grace: timedelta) -> Generator["subprocess.Popen[str]"]:
    """The supervisor, dead when we are; its logs and its children's go to the file."""
    command = [sys.executable, "-m", "ops", "worker", "--processes", "1"]
    with log.open("a") as errors_to:
        child = subprocess.Popen(
            launch_command(command, death_signal=signal.SIGKILL),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors_to, text=True,
            start_new_session=True,  # a Ctrl-C is for us, who stop things in order
        )  # fmt: skip
    try:
        _await_ready(child, log)
        yield child
    finally:
        child.terminate()
        try:
            child.wait(grace.total_seconds() + 10)
        except (
            BaseException
        ):  # the limit, or a second Ctrl-C: the kernel then ends the supervisor's children too
            child.kill()
            child.wait()
            raise


def _await_ready(child: "subprocess.Popen[str]", log: Path) -> None:
    assert child.stdout is not None  # a pipe, as asked
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        answered = selector.select(START_LIMIT.total_seconds())
    if not answered or not child.stdout.readline().startswith("ready"):
        raise DemoError(
            f"the workers were not ready within {took(START_LIMIT)}; the end of {log}:\n{tail(log)}"
        )
