"""One boot on trial, in a process of its own: what is wrong is told with its line, and only a sound house is migrated."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

from broker import load_settings
from broker.errors import CallboardError
from broker.migrate import migrate
from ops.boot import load, make_broker
from ops.cli.screen import one_line
from ops.dev.sources import folders, place_of
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
    """Sound without faults. `applied` are migrations, `1` of `actors` is a loaded actor."""

    faults: tuple[Fault, ...] = ()
    actors: int = 0
    applied: tuple[str, ...] = ()


def hold() -> Verdict:
    """Boot the code as it is on disk now, and apply its pending migrations. Never raises for what is wrong with the code."""
    command = [sys.executable, "-m", "ops.dev.trial"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
            timeout=LIMIT.total_seconds(),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Verdict(
            (
                Fault(
                    f"it did not boot within {LIMIT.total_seconds():.0f} s: does an import wait for something?"
                ),
            )
        )
    try:
        told = json.loads(done.stdout.splitlines()[-1])
        return Verdict(
            tuple(Fault(**fault) for fault in told["faults"]), told["actors"], tuple(told["applied"])
        )
    except (IndexError, KeyError, TypeError, ValueError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return Verdict((Fault(f"its boot ended with status {done.returncode}: {one_line(last)}"),))


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
    except CallboardError as error:
        return Verdict((Fault(str(error), place_of(error, watched)),))
    except Exception as error:  # the author's modules may raise anything, and that is what is told
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        return Verdict((Fault(f"{type(error).__name__}: {one_line(message)}", place_of(error, watched)),))
    return Verdict((), len(app.actors), tuple(f"{found.room}/{found.name}" for found in applied))


def main(_: Sequence[str] | None = None) -> None:
    verdict = _verdict()
    print()  # whatever the modules printed ends here
    print(json.dumps(asdict(verdict)))


if __name__ == "__main__":
    main()
