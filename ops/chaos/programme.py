"""One row: load and faults side by side, then the drain, then the judge."""

import random
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import psycopg

from ops.chaos import timekeeping
from ops.chaos.arena import Arena, Servers, opened
from ops.chaos.load import Load
from ops.chaos.oracle import Asked, Verdict
from ops.chaos.proxy import Proxy
from ops.chaos.pulse import FLAT, Bar
from ops.chaos.rows import CLOCKS, Row, Size, Transport
from ops.chaos.shortage import small_disk
from ops.chaos.trial import LIMIT, STAGES
from ops.embedded.postgres import EmbeddedPostgres
from ops.embedded.process import free_port
from ops.embedded.rabbitmq import EmbeddedRabbit
from ops.embedded.rabbitmq_cluster import RabbitCluster

LOOK_SECONDS = 0.25
CRAMPED = "cramped"
DEAD_ROWS = 0.5
"""Autovacuum comes at 0.2, and what it has not reached yet must not pile up."""
GIVEN_UP_WITHIN = 2.0
"""Seconds after its limit. A coroutine takes one; a body in C has that second to hear its interrupt before it is called stuck."""
RED_TRIES = 4
"""One in four zombies held no work worth doubling when it was frozen."""
THREAD_LIMIT_SECONDS = 120
"""A fault that is putting a server back needs some ten seconds; a load that stops, one publish."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried. `point` is a crash point, `guard` one of the engine's guards that is taken away."""

    row: Row
    transport: Transport
    seed: int
    size: Size
    short: bool
    point: str = ""
    guard: str = ""

    @property
    def name(self) -> str:
        return f"{self.row.name}: {self.point}" if self.point else self.row.name


@dataclass(frozen=True, slots=True)
class Result:
    trial: Trial
    verdict: Verdict
    faults: int
    seconds: float
    kills: tuple[float, ...]
    exits: tuple[int, ...]
    recoveries: tuple[float, ...] = ()
    """Seconds from the end of each outage until work flowed again, by the row's bar."""
    growth: float | None = None
    """Of the workers' memory over the row; None where it was too short to tell."""
    dead_rows: float = 0.0
    """The worst table's, as a share of its live ones."""
    given_up: tuple[tuple[str, float], ...] = ()
    """Actor → seconds after its start at which the last of its hanging bodies was given up."""
    histories: tuple[tuple[int, tuple[str, ...]], ...] = ()

    @property
    def broken(self) -> tuple[str, ...]:
        ended = (f"processes ended by themselves: {list(self.exits)}",) if self.exits else ()
        return (*self.verdict.broken, *ended, *(() if self.trial.short else self._missed()))

    def _missed(self) -> Iterable[str]:
        """Bars of the full form."""
        bar = self.trial.row.bar
        if bar is not None and self.recoveries and max(self.recoveries) > bar.within.total_seconds():
            yield f"work flowed again {max(self.recoveries):.1f} s after an outage, at most {bar.within.total_seconds():.0f}"
        if self.growth is not None and self.growth > FLAT:
            yield f"memory grew {self.growth:.3f} times from the first quarter to the last, at most {FLAT}"
        for actor, seconds in self.given_up:
            if seconds > LIMIT.total_seconds() + GIVEN_UP_WITHIN:
                limit = LIMIT.total_seconds()
                yield f"a body of {actor} was given up {seconds:.1f} s after its start; its limit is {limit:.0f} s"
        if self.dead_rows > DEAD_ROWS:
            yield f"dead rows were {self.dead_rows:.0%} of a table's live ones, at most {DEAD_ROWS:.0%}"


Progress = Callable[[int, int], None]
"""Effects so far, effects wanted."""


@contextmanager
def servers(folder: Path) -> Generator[Servers]:
    """A PostgreSQL and a RabbitMQ of our own, durable as in production."""
    with postgres_in(folder / "postgres") as postgres, EmbeddedRabbit(folder / "rabbit") as rabbit:
        yield Servers(postgres, rabbit)


def postgres_in(folder: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder, settings={"max_connections": "200"}, port=free_port())


def attempt(trial: Trial, servers: Servers, folder: Path, say: Progress) -> Result:
    """Raises ChaosError when the row could not be tried; a broken invariant is a result."""
    row, chance = trial.row, random.Random(trial.seed)  # noqa: S311  replayable
    if row.clustered and not isinstance(servers.rabbit, RabbitCluster):
        with RabbitCluster(folder / "cluster") as cluster:
            return attempt(trial, Servers(servers.postgres, cluster), folder, say)
    if row.cramped and servers.postgres.directory.name != CRAMPED:
        with small_disk() as disk, postgres_in(disk / CRAMPED) as postgres:
            return attempt(trial, Servers(postgres, servers.rabbit), folder, say)
    rabbitmq = trial.transport == "rabbitmq"
    began = time.monotonic()
    with ExitStack() as stack:
        dsn, amqp, proxies = _addresses(row, servers, rabbitmq, stack)
        log = folder / f"{row.name.replace(' ', '-')}-{trial.transport}.log"
        arena = stack.enter_context(
            opened(servers, rabbitmq=rabbitmq, dsn=dsn, amqp=amqp, guard=trial.guard or None, log=log)
        )
        if row.begins is not None:
            timekeeping.prepare(arena.database, row.begins)
        arena.fleet.start([*_options(trial, chance), *_quarantine(trial)])
        load = Load(
            arena.publisher,
            arena.transport,
            trial.size.events,
            trial.size.rate,
            chance,
            linger=row.linger,
            repeats=row.repeats,
            poisoned=row.poisoned,
            hanging=row.hanging,
        )
        _rage(trial, arena, load, proxies, chance, say)
        verdict = _drained(trial, arena, load, say)
        told = tuple((n, tuple(arena.oracle.history(n))) for n in verdict.offenders)
        exits = tuple(arena.fleet.exits)
        bar, pulse = row.bar or Bar(0, timedelta(0)), arena.pulse
        return Result(
            trial,
            verdict,
            arena.done + load.extra + bool(trial.point),
            time.monotonic() - began,
            tuple(arena.kills),
            exits,
            tuple(pulse.recoveries(bar, trial.size.rate * len(STAGES))),
            pulse.growth(),
            arena.oracle.dead_rows(),
            tuple(arena.oracle.given_up_after().items()),
            told,
        )


def attempt_until_red(trial: Trial, servers: Servers, folder: Path, say: Progress) -> Result:
    """With the next seed again if nothing broke: a guard is missed only when the fault meets work at the right moment."""
    result = attempt(trial, servers, folder, say)
    for turn in range(1, RED_TRIES):
        if result.broken:
            break
        result = attempt(replace(trial, seed=trial.seed + turn), servers, folder, say)
    return result


def _addresses(row: Row, servers: Servers, rabbitmq: bool, stack: ExitStack) -> tuple[str, str, list[Proxy]]:
    dsn, amqp = servers.postgres.tcp_dsn, servers.rabbit.url
    if not row.proxied:
        return dsn, amqp, []
    proxies = [stack.enter_context(Proxy.before(url)) for url in (dsn, amqp)]
    return proxies[0].through(dsn), proxies[1].through(amqp), proxies if rabbitmq else proxies[:1]


def _options(trial: Trial, chance: random.Random) -> list[tuple[str, ...]]:
    row, common = trial.row, _common(trial)
    workers: list[tuple[str, ...]] = [common] * row.workers
    if row.begins is not None:
        workers = [(*common, "--clock", ahead) for ahead in CLOCKS]
    if trial.point:
        workers[0] = (*common, "--crash", f"{trial.point}:{chance.randint(1, 8)}")
    return workers


def _quarantine(trial: Trial) -> list[tuple[str, ...]]:
    """A worker as in production. Without a guard nothing is waited for."""
    return [(*_common(trial), "--quarantine")] if trial.row.poisoned or not trial.guard else []


def _common(trial: Trial) -> tuple[str, ...]:
    schedules = ("--schedules",) if trial.row.begins is not None else ()
    return (*trial.row.options, "--seed", str(trial.seed), *schedules)


def _rage(
    trial: Trial, arena: Arena, load: Load, proxies: list[Proxy], chance: random.Random, say: Progress
) -> None:
    """The load to its end, the faults until then."""
    over = threading.Event()
    errors: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                errors.append(error)
                over.set()

        return run

    chances = [random.Random(chance.random()) for _ in range(8)]  # noqa: S311
    raging = [
        threading.Thread(target=guarded(lambda f=fault, c=its: f(arena, c, over)), name="fault")  # type: ignore[misc]
        for fault, its in zip(trial.row.faults(trial.short, proxies), chances, strict=False)
    ]
    publishing = threading.Thread(target=guarded(lambda: load.run(over)), name="load")
    for thread in (publishing, *raging):
        thread.start()
    while publishing.is_alive():
        publishing.join(LOOK_SECONDS)
        done = _tell(trial, arena, say)
        if done is not None:
            arena.pulse.beat(done, arena.fleet.pids)
    over.set()
    for thread in raging:
        thread.join(THREAD_LIMIT_SECONDS)
    if errors:
        raise errors[0]


def _drained(trial: Trial, arena: Arena, load: Load, say: Progress) -> Verdict:
    """The verdict as soon as nothing is broken any more, or what is broken when the patience is over."""
    row = trial.row
    asked = Asked(
        load.acknowledged, load.unknown, load.poison, row.started_once, row.zombies, ticking_since=row.begins
    )
    until = time.monotonic() + _patience(trial).total_seconds()
    while True:
        # Looked at before: what a slow judge saw in the middle of the patience is not what is there at its end.
        over = time.monotonic() > until
        try:
            verdict = arena.oracle.judge(asked)
            if not verdict.broken or over:
                return verdict
        except psycopg.OperationalError:
            if over:
                raise
        _tell(trial, arena, say)
        time.sleep(LOOK_SECONDS)


def _patience(trial: Trial) -> timedelta:
    """With a guard broken it never becomes whole: what is broken after a few seconds is."""
    return timedelta(seconds=6) if trial.guard else trial.row.drain


def _tell(trial: Trial, arena: Arena, say: Progress) -> int | None:
    """How many effects there are; None while PostgreSQL does not answer."""
    try:
        done = arena.oracle.done()
    except psycopg.OperationalError:
        return None
    say(done, trial.size.events * len(STAGES))
    return done
