"""What the demo brings up: database, workers and a site, started together and stopped in order."""

import os
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from rich.console import Console

from broker import Settings, load_settings
from broker.migrate import migrate
from ops import household
from ops.boot import App, load
from ops.demo_site.server import DemoSite
from ops.household import Workers
from ops.reach import unreachable

SITE_PORT = 8093
"""Preferred, so that a scan left over from a killed demo still finds its page; any other if it is taken."""


@dataclass(frozen=True, slots=True)
class House:
    """What runs, for as long as `running` is open."""

    settings: Settings
    app: App
    site: DemoSite
    workers: Workers


@contextmanager
def running(out: Console, data: Path) -> Generator[House]:
    """Start everything, stop it in order. Raises CallboardError and EmbeddedError."""
    with ExitStack() as stack:
        site = stack.enter_context(_site())
        environment = {
            "CALLBOARD_DEMO": "1",
            "CALLBOARD_DATA": str(data),
            **_allowed(site),
            **household.database(stack, out, data),
        }
        os.environ.update(environment)
        settings = load_settings()
        app = load(settings)
        try:
            applied = migrate(settings.database, app.migrations(settings.namespace))
        except psycopg.OperationalError as error:
            raise unreachable(settings, error) from error
        out.print(f"database ready, {len(applied)} migration(s) applied", style="dim")
        household.write_environment(data / "env", environment)
        workers = Workers.start(["ops", "worker"], data / "worker.log", settings.grace, lambda _: None)
        stack.callback(workers.stop)
        workers.await_ready()
        out.print("workers ready: 1 process and quarantine", style="dim")
        yield House(settings, app, site, workers)


def _site() -> DemoSite:
    try:
        return DemoSite(SITE_PORT)
    except OSError:
        return DemoSite()


def _allowed(site: DemoSite) -> Mapping[str, str]:
    """Pages on this machine are refused unless allowed."""
    names = ("CALLBOARD_PAGES_ALLOWED_HOSTS", "CALLBOARD_PRODUCTS_ALLOWED_HOSTS")
    given = {name: [host for host in os.environ.get(name, "").split(",") if host] for name in names}
    return {name: ",".join([*hosts, site.host]) for name, hosts in given.items()}
