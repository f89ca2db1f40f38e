"""`GET /metrics`: what all processes have counted, and how things stand, in Prometheus' text format."""

import time
from collections.abc import Iterator, Mapping, Sequence

from psycopg import Connection
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from broker import Settings
from broker.instruments import Metric
from broker.metrics import BOUNDARIES, CRITICAL, PROCESS, QUEUE, SENT, Counts, read
from broker.webhooks.secrets import split
from ops.web.bearer import bearer_needed, bears
from ops.web.desk import Desk
from ops.web.gauges import GAUGES
from ops.web.live import Live

FORMAT = "text/plain; version=0.0.4; charset=utf-8"
FRESH_SECONDS = 2.0
"""Several scrapers ask the database once."""

ACTOR = ("actor",)
_HISTOGRAMS = {
    PROCESS: Metric(
        "callboard_process_duration_seconds",
        "histogram",
        "s",
        ("actor", "outcome"),
        "Attempts, from the entry of the body to the outcome; its count is the attempts",
    ),
    QUEUE: Metric(
        "callboard_queue_time_seconds",
        "histogram",
        "s",
        ACTOR,
        "From the publish of an event to the first start of its run",
    ),
    CRITICAL: Metric(
        "callboard_critical_time_seconds",
        "histogram",
        "s",
        ACTOR,
        "From the publish of an event to the end of its run",
    ),
}
_SENT = Metric(
    "callboard_events_sent_total", "counter", "{event}", ACTOR, "Events that left the runs of an actor"
)

EXPOSED = (*_HISTOGRAMS.values(), _SENT, *GAUGES)
"""All that `/metrics` tells."""


def metrics_routes(settings: Settings, live: Live) -> list[Route]:
    return [Route("/metrics", Exposition(settings, live).answer, methods=["GET"])]


class Exposition:
    """Reads nothing until it is asked."""

    def __init__(self, settings: Settings, live: Live) -> None:
        self._desk = Desk(settings, live)
        self._lease = settings.lease
        self._secrets = split(settings.metrics_secret)
        self._text = ""
        self._read_at = 0.0

    async def answer(self, request: Request) -> Response:
        if self._secrets and not bears(request, self._secrets):
            return bearer_needed()
        if time.monotonic() - self._read_at > FRESH_SECONDS:
            found = await self._desk.keep(self._read)
            if isinstance(found, Response):
                return found
            self._text, self._read_at = found, time.monotonic()
        return PlainTextResponse(self._text, headers={"content-type": FORMAT, "cache-control": "no-store"})

    def _read(self, connection: Connection) -> str:
        lines = [*_counted(read(connection))]
        for gauge, statement in GAUGES.items():
            rows = connection.execute(statement.encode(), {"lease": self._lease}).fetchall()
            lines += _head(gauge)
            lines += [
                _sample(gauge.name, dict(zip(gauge.labels, row[:-1], strict=True)), row[-1]) for row in rows
            ]
        return "\n".join([*lines, ""])


def _counted(counts: Counts) -> Iterator[str]:
    for kind, metric in _HISTOGRAMS.items():
        yield from _head(metric)
        for key, cell in sorted(counts.get(kind, {}).items()):
            yield from _histogram(metric.name, _labels(key), BOUNDARIES[kind], cell)
    yield from _head(_SENT)
    for key, cell in sorted(counts.get(SENT, {}).items()):
        yield _sample(_SENT.name, _labels(key), cell[0])


def _head(metric: Metric) -> tuple[str, str]:
    return (f"# HELP {metric.name} {metric.text}", f"# TYPE {metric.name} {metric.kind}")


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
