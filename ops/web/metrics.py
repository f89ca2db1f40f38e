"""`GET /metrics`: what all processes have counted, and how things stand, in Prometheus' text format."""

import time
from collections.abc import Iterator, Mapping, Sequence

from psycopg import Connection
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from broker import Settings
from broker.metrics import BOUNDARIES, CRITICAL, PROCESS, QUEUE, SENT, Counts, read
from ops.web.desk import Desk
from ops.web.live import Live

FORMAT = "text/plain; version=0.0.4; charset=utf-8"
FRESH_SECONDS = 2.0
"""Several scrapers ask the database once."""

# Each by an index, or of a table as small as the backlog.
_GAUGES: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "callboard_dead_letters_open": (
        "Dead letters that wait for somebody",
        ("reason",),
        "select reason, count(*) from dead_letter where settled_at is null group by reason order by reason",
    ),
    "callboard_outbox_events": ("Events that are kept and not sent", (), "select count(*) from outbox"),
    "callboard_outbox_lag_seconds": (
        "Age of the oldest event that is due and not sent",
        (),
        "select coalesce(max(extract(epoch from clock() - send_at)), 0) from outbox where send_at < clock()",
    ),
    "callboard_runs_due_lag_seconds": (
        "How long the run has been due that waits longest for a worker",
        (),
        "select coalesce(max(extract(epoch from clock() - due_at)), 0) from run where due_at < clock()",
    ),
    "callboard_runs_timed": (
        "Runs with a due time: retries, sleeps, throttled starts, what gathers",
        ("actor", "status"),
        "select actor, status, count(*) from run where due_at is not null group by 1, 2 order by 1, 2",
    ),
    "callboard_slots": (
        "Runs at a concurrency limit, by what they have of it",
        ("scope", "state"),
        "select scope, state, count(*) from limit_slot group by 1, 2 order by 1, 2",
    ),
    "callboard_runs_paused": (
        "Runs that wait for something to be resumed",
        ("kind", "name"),
        "select kind, name, count(*) from pause_run group by 1, 2 order by 1, 2",
    ),
    "callboard_workers": (
        "Worker processes that have been heard within their lease",
        ("version",),
        "select version, count(*) from worker where heartbeat_at > clock_timestamp() - %(lease)s::interval group by 1 order by 1",
    ),
    "callboard_deliveries": (
        "Deliveries of the postgres transport that nobody has claimed",
        ("queue",),
        "select queue, count(*) from delivery group by 1 order by 1",
    ),
}

_HISTOGRAMS = {
    "callboard_process_duration_seconds": (PROCESS, "Attempts, from the entry of the body to the outcome"),
    "callboard_queue_time_seconds": (QUEUE, "From the publish of an event to the first start of its run"),
    "callboard_critical_time_seconds": (CRITICAL, "From the publish of an event to the end of its run"),
}


def metrics_routes(settings: Settings, live: Live) -> list[Route]:
    return [Route("/metrics", Exposition(settings, live).answer, methods=["GET"])]


class Exposition:
    """Reads nothing until it is asked."""

    def __init__(self, settings: Settings, live: Live) -> None:
        self._desk = Desk(settings, live)
        self._lease = settings.lease
        self._text = ""
        self._read_at = 0.0

    async def answer(self, _request: Request) -> Response:
        if time.monotonic() - self._read_at > FRESH_SECONDS:
            found = await self._desk.keep(self._read)
            if isinstance(found, Response):
                return found
            self._text, self._read_at = found, time.monotonic()
        return PlainTextResponse(self._text, headers={"content-type": FORMAT, "cache-control": "no-store"})

    def _read(self, connection: Connection) -> str:
        lines = [*_counted(read(connection))]
        for name, (text, labels, statement) in _GAUGES.items():
            rows = connection.execute(statement.encode(), {"lease": self._lease}).fetchall()
            lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
            lines += [_sample(name, dict(zip(labels, row[:-1], strict=True)), row[-1]) for row in rows]
        return "\n".join([*lines, ""])


def _counted(counts: Counts) -> Iterator[str]:
    for name, (kind, text) in _HISTOGRAMS.items():
        yield from (f"# HELP {name} {text}", f"# TYPE {name} histogram")
        for key, cell in sorted(counts.get(kind, {}).items()):
            yield from _histogram(name, _labels(key), BOUNDARIES[kind], cell)
    name = "callboard_events_sent_total"
    yield from (f"# HELP {name} Events that left the runs of an actor", f"# TYPE {name} counter")
    for key, cell in sorted(counts.get(SENT, {}).items()):
        yield _sample(name, _labels(key), cell[0])


def _labels(key: str) -> dict[str, str]:
    actor, _, outcome = key.partition(" ")
    return {"actor": actor, "outcome": outcome} if outcome else {"actor": actor}


def _histogram(
    name: str, labels: Mapping[str, object], boundaries: Sequence[float], cell: Sequence[float]
) -> Iterator[str]:
    so_far = 0.0
    for boundary, count in zip(boundaries, cell[2:], strict=False):
        so_far += count
        yield _sample(f"{name}_bucket", {**labels, "le": f"{boundary:g}"}, so_far)
    yield _sample(f"{name}_bucket", {**labels, "le": "+Inf"}, cell[0])
    yield _sample(f"{name}_sum", labels, cell[1])
    yield _sample(f"{name}_count", labels, cell[0])


def _sample(name: str, labels: Mapping[str, object], value: object) -> str:
    told = ",".join(f'{label}="{_escaped(str(text))}"' for label, text in labels.items())
    return f"{name}{{{told}}} {float(str(value)):g}" if told else f"{name} {float(str(value)):g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
