"""One worker process, as the supervisor starts it: `python -m ops.worker_process CHANNEL …`. Nobody types this.

    boot (servers away: wait) ── ready ── serve ── SIGTERM ── drain ── gone
      └ refused: the configuration is wrong, another start would not help

CHANNEL is the number of an inherited socket: what happens is told there, one line a fact, and its end is the supervisor's end.
"""

import argparse
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from types import FrameType
from typing import Any, NoReturn

import psycopg
import structlog

from broker import Actor, ConfigurationError, Settings, load_settings
from broker.broker import CallboardBroker
from broker.declare import declare, declare_as_found
from broker.engine import Engine
from broker.errors import CallboardError, TransportUnavailableError
from broker.migrate import known, state
from broker.schedules.register import register
from broker.telemetry import Telemetry
from broker.topology import Topology
from broker.transports.base import Transport
from broker.wiring import nearest, pipelines_of
from ops.boot import App, apps_of, load, make_broker, make_transport
from ops.reach import broker_place, configure_logs, database_place, reason_of

log = structlog.get_logger(__name__)

REFUSED = 78
"""Exit status (EX_CONFIG): the supervisor does not start this process again."""
UNFINISHED = 75
"""Exit status (EX_TEMPFAIL): bodies were still running when the grace was over; their runs are taken over."""
SILENCE = timedelta(seconds=3)
"""How long a server may be silent at boot before we say that we wait for it; a busy RabbitMQ declares for as long."""
SWITCH_INTERVAL = 0.0005
"""Seconds. With the default of 5 ms a few CPU-bound bodies keep the journal's thread from every second commit."""


NOTHING_LOADED = "no actors are loaded: name your packages in CALLBOARD_APPS, or set CALLBOARD_DEMO=1 for this repository's demo"


@dataclass(frozen=True, slots=True)
class Role:
    """What this process is to consume. `patterns` are globs over actor names; empty means all actors."""

    threads: int
    patterns: tuple[str, ...] = ()
    quarantine: bool = False
    again: bool = False
    """Started in place of one that has died: no deployment, so bindings stay as they are."""


class Channel:
    """The way to the supervisor. Without it (it died) this process ends at once: its runs are taken over."""

    def __init__(self, number: int) -> None:
        self._socket = socket.socket(fileno=number)

    def say(self, word: str, text: str = "") -> None:
        self._socket.sendall(f"{word} {' '.join(text.split())}".strip().encode() + b"\n")

    def watch(self) -> None:
        threading.Thread(target=self._wait_for_the_end, name="supervisor-watch", daemon=True).start()

    def _wait_for_the_end(self) -> NoReturn:
        while self._socket.recv(64):
            pass
        os._exit(UNFINISHED)


class Stop:
    """SIGTERM: during boot it ends the process, afterwards it is waited for."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._booting = True
        signal.signal(signal.SIGTERM, self._asked_by_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def boots_no_more(self) -> None:
        self._booting = False

    def follow(self, event: threading.Event) -> None:
        """Stop when this is set, too."""

        def wait() -> None:
            event.wait()
            self._asked.set()

        threading.Thread(target=wait, name="stop-follows", daemon=True).start()

    def wait(self, limit: timedelta | None = None) -> bool:
        return self._asked.wait(limit.total_seconds() if limit is not None else None)

    def _asked_by_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._asked.set()
        if self._booting:
            raise SystemExit(0)


def select(actors: Sequence[Actor[Any, Any]], patterns: Sequence[str]) -> list[Actor[Any, Any]]:
    """The actors that the patterns name. Raises ConfigurationError for a pattern without an actor, and for no actors at all."""
    if not actors:
        raise ConfigurationError(NOTHING_LOADED)
    names = [actor.name for actor in actors]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigurationError(
                f"--actors {pattern!r} matches no actor{nearest(pattern, names)}; there are {', '.join(sorted(names))}"
            )
    return [
        actor
        for actor in actors
        if not patterns or any(fnmatchcase(actor.name, pattern) for pattern in patterns)
    ]


def queues_of(role: Role, actors: Sequence[Actor[Any, Any]], topology: Topology) -> list[str]:
    """The house queues are everybody's but the quarantine's, which has one queue and runs of every actor in it."""
    if role.quarantine:
        return [topology.quarantine]
    own = [
        queue
        for actor in select(actors, role.patterns)
        for queue in map(topology.queue_of, (actor.name, *actor.aliases))
    ]
    return [*own, *topology.serving]


def serve(role: Role, channel: Channel, stop: Stop) -> int:
    """The life of the process; returns its exit status. It ends when asked to, and when a body is stuck in C: the neighbours
    finish, and the supervisor starts a fresh one. Raises CallboardError when the configuration is wrong."""
    settings = _own(load_settings(), role)
    configure_logs(settings)
    app = load(settings)
    broker = make_broker(app, settings)
    transport = make_transport(settings)
    telemetry = Telemetry(sample=settings.trace_sample)
    telemetry.install()
    _prepare(app, settings, broker, transport, channel, stop, again=role.again)
    engine = Engine(
        settings,
        broker,
        transport,
        queues=queues_of(role, app.actors, broker.topology()),
        pipelines=pipelines_of(app.pipelines),
        schedules=app.schedules,
        name=f"{socket.gethostname()[:20]}:{'quarantine:' if role.quarantine else ''}{os.getpid()}",
        tracer=telemetry.tracer,
        meter=telemetry.meter,
        claim_ahead=not role.quarantine,
        knows=known(app.migrations(settings.namespace)),
    )
    stop.boots_no_more()
    engine.start()
    channel.say("ready")
    stop.follow(engine.worn)
    stop.wait()
    finished = engine.stop(settings.grace)
    telemetry.shutdown()
    return 0 if finished else UNFINISHED


def _own(settings: Settings, role: Role) -> Settings:
    """In quarantine one run at a time, so that a payload which kills its process kills no neighbour."""
    slots = 1 if role.quarantine else settings.async_slots
    return settings.model_copy(
        update={"threads": 1 if role.quarantine else role.threads, "async_slots": slots}
    )


def _prepare(
    app: App,
    settings: Settings,
    broker: CallboardBroker,
    transport: Transport,
    channel: Channel,
    stop: Stop,
    *,
    again: bool,
) -> None:
    """Wait for the servers, refuse a schema that does not fit, declare queues and schedules. Raises ConfigurationError."""
    pause = timedelta(seconds=0.1)
    told: set[str] = set()
    while True:
        away = _waiting(channel, told, database_place(settings), "does not answer")
        try:
            _refuse_schema(app, settings)
            away.cancel()
            if settings.broker_urls:
                away = _waiting(channel, told, broker_place(settings), "does not answer")
            (declare_as_found if again else declare)(settings.database, transport, broker.topology())
            register(settings.database, app.schedules, apps_of(settings))
        except (psycopg.OperationalError, TransportUnavailableError) as error:
            place = database_place(settings) if isinstance(error, psycopg.Error) else broker_place(settings)
            _tell_once(channel, told, place, reason_of(error))
            if stop.wait(pause):
                # The signal came where the interpreter forgets what is raised: inside a callback of its own.
                raise SystemExit(0) from None
            pause = min(pause * 2, timedelta(seconds=5))
        else:
            return
        finally:
            away.cancel()


def _refuse_schema(app: App, settings: Settings) -> None:
    """Too old: a pre migration is missing. Too new: a post migration that we do not know has removed what we may use. A pre
    migration that we do not know has only added something: a newer program is on its way."""
    found = state(settings.database, app.migrations(settings.namespace))
    missing = [migration for migration in found.pending if migration.phase == "pre"]
    if missing:
        names = ", ".join(map(str, missing))
        raise ConfigurationError(
            f"the database lacks {len(missing)} migration(s) ({names}): run `callboard migrate`"
        )
    removing = [name for name in found.newer if "_post_" in name]
    if removing:
        raise ConfigurationError(
            f"the database is newer than this program: {', '.join(removing)} has removed what it may use; deploy the newer code"
        )
    if found.newer:
        log.warning("schema_newer", migrations=found.newer)


def _waiting(channel: Channel, told: set[str], place: str, reason: str) -> threading.Timer:
    timer = threading.Timer(SILENCE.total_seconds(), _tell_once, (channel, told, place, reason))
    timer.daemon = True
    timer.start()
    return timer


def _tell_once(channel: Channel, told: set[str], place: str, reason: str) -> None:
    if place not in told:
        told.add(place)
        channel.say("waiting", f"{place}: {reason}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="ops.worker_process")
    parser.add_argument("channel", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--actors", action="append", default=[])
    parser.add_argument("--quarantine", action="store_true")
    parser.add_argument("--again", action="store_true")
    given = parser.parse_args(arguments)
    sys.setswitchinterval(SWITCH_INTERVAL)
    stop = Stop()
    channel = Channel(given.channel)
    channel.watch()
    try:
        return serve(Role(given.threads, tuple(given.actors), given.quarantine, given.again), channel, stop)
    except CallboardError as error:
        channel.say("refused", str(error))
        return REFUSED


if __name__ == "__main__":
    status = main()
    if status == UNFINISHED:
        os._exit(status)  # a body that does not end would keep the interpreter
    sys.exit(status)
