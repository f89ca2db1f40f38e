"""The programme: which load meets which faults, and which guard of the engine it relies on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from ops.chaos import faults, seams, shortage
from ops.chaos.faults import Fault
from ops.chaos.proxy import Proxy
from ops.chaos.pulse import Bar

Transport = Literal["postgres", "rabbitmq"]
BOTH: tuple[Transport, ...] = ("postgres", "rabbitmq")


@dataclass(frozen=True, slots=True)
class Size:
    """Events, and how many of them a second: together the time that the faults have."""

    events: int
    rate: float


@dataclass(frozen=True, slots=True)
class Row:
    """`guard` is what its red proof breaks. `faults` are made for the full form or the short one; `proxies` stand between
    workers and servers; a row that is `clustered` has a RabbitMQ of three nodes, one that is `cramped` a PostgreSQL on a small
    disk. One that stands `apart` is in a short run only when it is named: it needs more time or rights than that has. What it
    tries concerns `either` transport alike: a short run takes one of them, by its seed. `bar` is asked of the full form."""

    name: str
    what: str
    full: Size
    short: Size
    faults: Callable[[bool, list[Proxy]], Sequence[Fault]] = lambda *_: ()
    transports: tuple[Transport, ...] = BOTH
    guard: str = ""
    guarded_by: Transport = "rabbitmq"
    workers: int = 2
    options: tuple[str, ...] = ()
    linger: float = 0.0
    repeats: bool = False
    poisoned: bool = False
    hanging: bool = False
    started_once: bool = False
    zombies: bool = False
    proxied: bool = False
    clustered: bool = False
    cramped: bool = False
    apart: bool = False
    either: bool = False
    bar: Bar | None = None
    crash_points: tuple[str, ...] = field(default=())
    drain: timedelta = timedelta(seconds=90)
    begins: datetime | None = None
    """By the database's clock; workers then have schedules, and each is wrong about the time by one of `CLOCKS`."""


CLOCKS = ("3600", "-3600", "0")
"""Seconds that the workers of a row with a clock are ahead."""


def clock_row(name: str, begins: date) -> Row:
    """Two days around a change of clocks in Berlin, where the schedules of the trial are at home."""
    return Row(
        f"clock, {name}",
        f"two days with a change of clocks, workers an hour ahead, behind and right, one killed every 3 s; {name}",
        Size(1_500, 25),
        Size(120, 20),
        lambda *_: [faults.pass_days(2), faults.kill_workers(seconds(3))],
        guard="slots kept",
        workers=len(CLOCKS),
        either=True,
        begins=datetime.combine(begins, time(12, 1), ZoneInfo("Europe/Berlin")),
    )


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


ROWS: tuple[Row, ...] = (
    Row(
        "kill",
        "a random worker is killed (kill -9) every 2 s and replaced",
        Size(10_500, 50),
        Size(300, 50),
        lambda *_: [faults.kill_workers(seconds(2))],
        guard="takeover",
        # A killed one needs up to 2 s to boot again: of two, there would often be none left that could take over. 50 a second
        # that linger for 0.3 s fill 15 threads: those who are left need room for what the dead one had.
        workers=4,
        options=("--threads", "12"),
        linger=0.3,
    ),
    Row(
        "rabbitmq",
        "RabbitMQ is killed or stopped every 15 s and started again, 8 times",
        Size(12_000, 75),
        Size(600, 60),
        lambda short, _: [faults.restart_rabbitmq(seconds(3 if short else 15), 1 if short else 8)],
        transports=("rabbitmq",),
        guard="confirms",
        started_once=True,
        linger=0.01,
        bar=Bar(0, seconds(5)),
    ),
    Row(
        "postgres",
        "PostgreSQL is shut down at once (immediate) every 5 to 40 s and started again",
        Size(20_000, 80),
        Size(600, 60),
        lambda short, _: [faults.restart_postgres(seconds(3 if short else 5), seconds(4 if short else 40))],
        bar=Bar(0.8, seconds(10)),
    ),
    Row(
        "together",
        "workers killed every 4 s, RabbitMQ restarted every 30 s, PostgreSQL every 10 to 40 s",
        Size(20_000, 60),
        Size(700, 50),
        lambda short, _: [
            faults.kill_workers(seconds(4)),
            faults.restart_rabbitmq(seconds(5 if short else 30), 1 if short else 1000),
            faults.restart_postgres(seconds(6 if short else 10), seconds(9 if short else 40)),
        ],
        transports=("rabbitmq",),
        linger=0.02,
        drain=timedelta(seconds=180),
    ),
    Row(
        "crash points",
        "a worker ends without warning at a named point",
        Size(300, 100),
        Size(60, 60),
        guard="ack after claim",
        crash_points=tuple(point for point in seams.POINTS if point not in seams.APART),
    ),
    Row(
        "doubt",
        "5 % of all commits and confirms go unanswered: they happened, and nobody knows",
        Size(10_000, 100),
        Size(400, 100),
        options=("--doubt", "0.05"),
        either=True,
    ),
    Row(
        "zombie",
        "a worker is frozen (SIGSTOP) beyond its lease and comes back",
        Size(2_000, 30),
        Size(270, 30),
        lambda *_: [faults.freeze_workers(seconds(5))],
        guard="fence",
        options=("--lease", "2"),
        zombies=True,
        linger=0.8,
        either=True,
    ),
    Row(
        "network",
        "connections to both servers are reset, refused, silent for 30 s, or slow",
        Size(5_000, 25),
        Size(300, 30),
        lambda short, proxies: [
            faults.break_network(proxies, seconds(2 if short else 5), seconds(3 if short else 30))
        ],
        proxied=True,
        drain=timedelta(seconds=180),
    ),
    Row(
        "backends",
        "a random session of a worker is ended (pg_terminate_backend) every 0.5 s",
        Size(10_000, 80),
        Size(300, 60),
        lambda *_: [faults.end_backends(seconds(0.5))],
        either=True,
    ),
    Row(
        "duplicates",
        "each event is published one to five times, in no order",
        Size(10_000, 300),
        Size(300, 200),
        guard="inbox",
        repeats=True,
    ),
    Row(
        "poison",
        "one message in a hundred is undecodable, invalid, too large, unknown, of an unknown version, or kills its worker",
        Size(10_000, 80),
        Size(500, 100),
        guard="parking",
        poisoned=True,
        drain=timedelta(seconds=120),
    ),
    Row(
        "hang",
        "one body in a hundred never ends: it sits in C, or awaits what never comes; each has a limit of a second",
        Size(10_000, 80),
        Size(400, 80),
        guard="time limit",
        hanging=True,
        either=True,
    ),
    Row(
        "cluster",
        "of three RabbitMQ nodes the one that leads the queues is killed (kill -9) and started again, 12 times",
        Size(12_000, 60),
        Size(700, 50),
        lambda short, _: [faults.kill_leaders(seconds(2 if short else 5), 1 if short else 12)],
        transports=("rabbitmq",),
        started_once=True,
        linger=0.01,
        clustered=True,
        apart=True,
    ),
    Row(
        "deploy",
        "workers are stopped (SIGTERM) one after the other and replaced; nothing may start twice",
        Size(10_000, 60),
        Size(350, 50),
        lambda *_: [faults.stop_workers(seconds(3))],
        linger=0.05,
        started_once=True,
        either=True,
    ),
    Row(
        "shortage",
        "PostgreSQL's disk is full for 8 s, RabbitMQ's memory alarm is on for 8 s, every 15 s; needs the right to mount",
        Size(2_000, 20),
        Size(300, 20),
        lambda short, _: [
            shortage.fill_disk(seconds(2 if short else 15), seconds(3 if short else 8)),
            shortage.alarm_memory(seconds(1 if short else 9), seconds(2 if short else 8)),
        ],
        cramped=True,
        apart=True,
        linger=0.02,
    ),
    Row(
        "soak",
        "half an hour of load and no fault but one: memory and dead rows must stay flat",
        Size(90_000, 50),
        Size(500, 50),
        lambda *_: [faults.end_backends(seconds(60))],
        apart=True,
    ),
    clock_row("spring", date(2027, 3, 27)),
    clock_row("autumn", date(2027, 10, 30)),
)
