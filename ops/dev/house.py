"""The house of `callboard dev`: what it brings up, and how it takes up code that was saved.

saved ── trial ── faults: told, the last good workers go on
            └──── sound: migrated, new workers start beside the old ── ready ── the old drain and go
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

import psycopg
from rich.console import Console
from rich.text import Text
from watchfiles import Change, DefaultFilter, PythonFilter, watch

from broker import Settings, load_settings
from broker.migrate import engine_migrations, migrate
from ops import household
from ops.cli.screen import one_line, took
from ops.dev.follower import Follower
from ops.dev.pages import Pages
from ops.dev.sources import folders
from ops.dev.trial import Judge, Verdict
from ops.household import HouseError, Workers, shortened
from ops.reach import unreachable

GRACE = "5"
"""Seconds, unless set: who presses Ctrl-C at a desk does not wait for 25."""
LOOK = timedelta(seconds=0.5)
"""How often the workers are looked after; saved files are told at once."""
GATHER = timedelta(seconds=0.1)
"""Editors write a file in several strokes."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """`port` is the status page's; None is the usual one, or any that is free."""

    broker: Literal["postgres", "rabbitmq"] | None = None
    workers: int = 1
    port: int | None = None
    page: bool = True


class Sources(PythonFilter):
    """New folders too: what is written into one at once may come without a word of its own, before it is watched."""

    def __call__(self, change: Change, path: str) -> bool:
        if change is Change.added and Path(path).is_dir():
            return DefaultFilter.__call__(self, change, path)
        return super().__call__(change, path)


class Crew:
    """The workers of the last good code, none before there was any. The next ones and their trial stand ready, imported."""

    def __init__(self, out: Console, log: Path, count: int, grace: timedelta) -> None:
        self._out, self._log, self._count, self._grace = out, log, count, grace
        self._now: Workers | None = None
        self._judge = Judge()
        self._next = self._standby()

    def take_up(self) -> bool:
        """Try the code on disk and put it in the place of what runs, or tell what is wrong with it. Whether it was sound."""
        began = time.monotonic()
        verdict = self._judge.hold()
        for name in verdict.applied:
            self._out.print(f"migrated {name}", style="dim", soft_wrap=True)
        if verdict.faults:
            self._tell(verdict)
        else:
            verb = "ready" if self._now is None else "reloaded"
            if self._replace():
                length = took(timedelta(seconds=time.monotonic() - began))
                self._out.print(f"{verb} in {length}: {verdict.actors} actors", style="green")
            self._next = self._standby()
        self._judge.prepare()
        return not verdict.faults

    def _replace(self) -> bool:
        """New workers first, then the end of the old."""
        fresh, before = self._next, self._now
        fresh.go()
        try:
            fresh.await_ready()
        except HouseError as error:
            self._out.print(str(error), style="red", soft_wrap=True)
            fresh.stop()
            return False
        self._now = fresh
        if before is not None:
            before.stop()
        return True

    def look_after(self) -> None:
        """Say once that they have ended; saving a file starts them again."""
        if self._now is not None and self._now.process.poll() is not None:
            ended, self._now = self._now, None
            status = ended.process.returncode
            told = f"the workers ended with status {status}; see {shortened(self._log)}; saving a file starts them"
            self._out.print(told, style="red", soft_wrap=True)

    def stop(self) -> None:
        self._judge.close()
        for workers in (self._next, self._now):
            if workers is not None:
                workers.stop()

    def _standby(self) -> Workers:
        return Workers.start(["ops.dev.crew", str(self._count)], self._log, self._grace, self._heard)

    def _heard(self, line: str) -> None:
        self._out.print(Text("  │ ", style="dim").append(one_line(line)), soft_wrap=True)

    def _tell(self, verdict: Verdict) -> None:
        for fault in verdict.faults:
            place = Text(f"{fault.place}: " if fault.place else "", style="bold red")
            self._out.print(place.append(fault.message, style="not bold red"), soft_wrap=True)
        goes_on = "the last good code goes on" if self._now is not None else "nothing runs yet"
        self._out.print(f"not loaded: {goes_on}, and saving a file tries again", style="yellow")


def develop(out: Console, wishes: Wishes) -> None:
    """Until KeyboardInterrupt. Raises CallboardError and EmbeddedError when something cannot be brought up."""
    with ExitStack() as stack:
        settings = _settled(stack, out, wishes)
        saved = _saved(settings)
        next(saved)  # watching begins before the first boot, so that nothing is missed
        follower, log = Follower(settings, out), settings.data / "worker.log"
        pages = None
        if wishes.page:
            pages = Pages(wishes.port, log, lambda line: out.print(one_line(line), soft_wrap=True))
            stack.callback(pages.stop)
            out.print(f"status page: {pages.address}", soft_wrap=True)
        out.print(
            f"logs: {shortened(log)}; another shell: . {shortened(settings.data / 'env')}",
            soft_wrap=True,
        )
        follower.start()
        stack.callback(follower.stop)
        crew = Crew(out, log, wishes.workers, settings.grace)
        stack.callback(crew.stop)
        crew.take_up()
        if pages:
            pages.exchange()
        for files in saved:
            if files:
                out.print(f"saved {', '.join(sorted(files))}", style="dim", soft_wrap=True)
                if crew.take_up() and pages:
                    pages.exchange()
            crew.look_after()


def _settled(stack: ExitStack, out: Console, wishes: Wishes) -> Settings:
    """Servers up, the environment of everything that is started set, the engine's tables there."""
    if not os.environ.get("CALLBOARD_APPS"):
        os.environ.setdefault("CALLBOARD_DEMO", "1")
    os.environ.setdefault("CALLBOARD_GRACE", GRACE)
    os.environ["PYTHONUNBUFFERED"] = "1"  # what actors print is seen when they print it
    data = load_settings().data.absolute()
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    environment = {"CALLBOARD_DATA": str(data), **household.database(stack, out, data)}
    if wishes.broker == "rabbitmq":
        environment |= household.rabbitmq(stack, out, data)
    elif wishes.broker == "postgres":
        environment |= {household.BROKER: ""}
    os.environ.update(environment)
    household.write_environment(data / "env", environment)
    settings = load_settings()
    try:
        migrate(settings.database, engine_migrations(settings.namespace))
    except psycopg.OperationalError as error:
        raise unreachable(settings, error) from error
    return settings


def _saved(settings: Settings) -> Iterator[set[str]]:
    """Names of files that were saved, as they are; an empty set twice a second. Raises HouseError without a folder to watch."""
    watched = folders(settings)
    if not watched:
        raise HouseError(
            f"none of CALLBOARD_APPS={','.join(settings.apps)} is a package here: install it, or correct its name"
        )
    changes = watch(
        *watched,
        watch_filter=Sources(extra_extensions=[".sql"]),
        debounce=int(GATHER.total_seconds() * 1000),
        step=50,
        rust_timeout=int(LOOK.total_seconds() * 1000),
        yield_on_timeout=True,
    )
    for found in changes:
        yield {shortened(Path(path)) for _, path in found}
