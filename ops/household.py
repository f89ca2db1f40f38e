"""What a house on one machine brings up for itself: servers where none are given, workers, and its settings for other shells."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Self

from rich.console import Console

from broker.errors import CallboardError
from ops.cli.screen import took
from ops.embedded.postgres import EmbeddedPostgres
from ops.embedded.process import DirectoryInUseError, launch_command, tail
from ops.embedded.rabbitmq import EmbeddedRabbit

START_LIMIT = timedelta(seconds=60)
"""For the workers; 2 to 4 s on two shared cores."""
DATABASE, BROKER = "CALLBOARD_DATABASE_URL", "CALLBOARD_BROKER_URL"


class HouseError(CallboardError):
    """What was to run does not; the message says where to look."""


def database(stack: ExitStack, out: Console, data: Path) -> Mapping[str, str]:
    """The given PostgreSQL, or our own below `data`. A shell may still name our own after its end: then it is started again.

    Raises EmbeddedError.
    """
    given, own = os.environ.get(DATABASE), EmbeddedPostgres(data / "postgres")
    if given and given != own.dsn:
        return {DATABASE: given}
    try:
        stack.enter_context(own)
    except DirectoryInUseError as error:
        if given:
            return {DATABASE: given}
        raise HouseError(f"{error}; or use what runs there: . {shortened(data / 'env')}") from error
    out.print("PostgreSQL started", style="dim")
    return {DATABASE: own.dsn}


def rabbitmq(stack: ExitStack, out: Console, data: Path) -> Mapping[str, str]:
    """The given RabbitMQ, or a node of our own below `data`, after 5 to 8 s. Raises EmbeddedError."""
    if given := os.environ.get(BROKER):
        return {BROKER: given}
    node = EmbeddedRabbit(data / "rabbitmq")
    out.print("starting RabbitMQ", style="dim")
    stack.enter_context(node)
    return {BROKER: node.url}


def write_environment(path: Path, environment: Mapping[str, str]) -> None:
    """For a shell: `. .state/env`. It holds a DSN, so it is its owner's alone."""
    own = {name: value for name, value in os.environ.items() if name.startswith("CALLBOARD_")}
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(
            f"export {name}={shlex.quote(value)}\n" for name, value in sorted({**own, **environment}.items())
        )


def shortened(path: Path) -> str:
    """As one would type it from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


@dataclass(slots=True)
class Workers:
    """A supervisor with its processes, dead when we are. Their logs go to the file, what they print to `heard`."""

    process: "subprocess.Popen[str]"
    log: Path
    grace: timedelta
    heard: Callable[[str], None]
    called: str = "workers"
    _ready: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def start(
        cls,
        program: Sequence[str],
        log: Path,
        grace: timedelta,
        heard: Callable[[str], None],
        *,
        pass_fds: Sequence[int] = (),
        called: str = "workers",
    ) -> Self:
        """`program` is a module that supervises, with its arguments; `pass_fds` it has open, too; `called` is what errors say.
        From the main thread: when that ends, the kernel ends it."""
        command = [sys.executable, "-m", *program]
        with log.open("a") as errors_to:
            process = subprocess.Popen(
                launch_command(command, death_signal=signal.SIGKILL),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors_to, text=True, errors="replace",
                pass_fds=pass_fds,
                start_new_session=True,  # a Ctrl-C is for us, who stop things in order
            )  # fmt: skip
        workers = cls(process, log, grace, heard, called)
        threading.Thread(target=workers._listen, name="workers-print", daemon=True).start()
        return workers

    def go(self) -> None:
        """For a program that waits for a line before it begins. One that has died is found by `await_ready`."""
        assert self.process.stdin is not None  # a pipe, as asked
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write("\n")
            self.process.stdin.flush()

    def await_ready(self) -> None:
        """Raises HouseError with the end of their log."""
        limit = time.monotonic() + START_LIMIT.total_seconds()
        while not self._ready.wait(0.05):
            self.refuse_dead()
            if time.monotonic() > limit:
                raise HouseError(
                    f"the {self.called} were not ready within {took(START_LIMIT)}; the end of {self.log}:\n{tail(self.log)}"
                )

    def refuse_dead(self) -> None:
        """Raises HouseError with the end of their log."""
        if self.process.poll() is not None:
            raise HouseError(
                f"the {self.called} ended with status {self.process.returncode}; the end of {self.log}:\n{tail(self.log)}"
            )

    def stop(self) -> None:
        """In order, within their grace. Harmless if they have ended."""
        self.process.terminate()
        try:
            self.process.wait(self.grace.total_seconds() + 10)
        except BaseException:
            # The limit, or a second Ctrl-C: the kernel then ends the supervisor's children too.
            self.process.kill()
            self.process.wait()
            raise

    def _listen(self) -> None:
        assert self.process.stdout is not None  # a pipe, as asked
        for line in self.process.stdout:
            if not self._ready.is_set() and line.startswith("ready"):
                self._ready.set()
            else:
                self.heard(line.rstrip("\n"))
