"""One boot on trial, in a process of its own: what is wrong is told with its line, and only a sound house is migrated."""

import json
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import timedelta

from broker import load_settings
from broker.errors import CallboardError
from broker.migrate import migrate
from ops.boot import BrokenModuleError, load, make_broker
from ops.cli.screen import one_line, took
from ops.dev.sources import folders, place_of
from ops.embedded.process import launch_command
from ops.worker_process import select

LIMIT = timedelta(seconds=60)
"""An import that takes longer than this hangs; a whole boot takes 1 to 2 s."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`place` is a file and its line, or None where no line of the author's is to blame."""

    message: str
    place: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Sound without faults. `applied` are the migrations that it needed, `actors` how many there are."""

    faults: tuple[Fault, ...] = ()
    actors: int = 0
    applied: tuple[str, ...] = ()


class Judge:
    """Holds a process ready that has imported all but the author's code: a trial costs no more than the author's own imports."""

    def __init__(self) -> None:
        self._next = _process()

    def hold(self) -> Verdict:
        """Boot the code as it is on disk now, and apply its pending migrations. Never raises for what is wrong with the code."""
        process = self._next
        try:
            said, errors = process.communicate("\n", LIMIT.total_seconds())
        except subprocess.TimeoutExpired:
            self.close()
            return Verdict((Fault(f"no boot within {took(LIMIT)}: does an import wait for something?"),))
        return _read(said) or _nothing_said(process.returncode, errors)

    def prepare(self) -> None:
        """For the next trial."""
        self._next = _process()

    def close(self) -> None:
        self._next.kill()
        self._next.wait()


def _process() -> "subprocess.Popen[str]":
    return subprocess.Popen(
        launch_command([sys.executable, "-m", "ops.dev.trial"], death_signal=signal.SIGKILL),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        start_new_session=True,
    )  # fmt: skip


def _read(said: str) -> Verdict | None:
    try:
        told = json.loads(said.splitlines()[-1])
        return Verdict(
            tuple(Fault(**fault) for fault in told["faults"]), told["actors"], tuple(told["applied"])
        )
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def _nothing_said(status: int, errors: str) -> Verdict:
    """The author's code has ended the process."""
    last = (errors.strip().splitlines() or ["it said nothing"])[-1]
    return Verdict((Fault(f"its boot ended with status {status}: {one_line(last)}"),))


def _verdict() -> Verdict:
    settings = load_settings()
    watched = folders(settings)
    try:
        app = load(settings)
        select(app.actors, ())
        faults = [Fault(f"{fault.subject}: {fault.problem}. {fault.remedy}.") for fault in app.faults()]
        if faults:
            return Verdict(tuple(faults))
        make_broker(app, settings)
        applied = migrate(settings.database, app.migrations(settings.namespace))
    except BrokenModuleError as error:
        raised = error.__cause__ or error
        message = raised.msg if isinstance(raised, SyntaxError) else str(raised)
        return Verdict((Fault(f"{type(raised).__name__}: {one_line(message)}", place_of(raised, watched)),))
    except CallboardError as error:
        return Verdict((Fault(str(error), place_of(error, watched)),))
    except Exception as error:  # the author's modules may raise anything, and that is what is told
        return Verdict((Fault(f"{type(error).__name__}: {one_line(str(error))}", place_of(error, watched)),))
    return Verdict((), len(app.actors), tuple(f"{found.room}/{found.name}" for found in applied))


def main() -> None:
    if sys.stdin.readline():
        verdict = _verdict()
        print()  # whatever the modules printed ends here
        print(json.dumps(asdict(verdict)))


if __name__ == "__main__":
    main()
