"""`callboard metrics`: every metric there is, and the page of them."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from broker.instruments import EXPORTED, Metric
from ops.cli.screen import console, emit_json, table
from ops.web.metrics import EXPOSED

HEAD = """\
# Metrics

Made from the code by `callboard metrics --page`; `tests/ops/test_metrics_catalogue.py` compares the two, and both with what
processes really send. What to watch: [telemetry.md](telemetry.md).
"""

OF_WEB = """\
Of `callboard web`, in Prometheus' text format, over all processes: each worker writes its counts into a row every five seconds,
rows of processes that are gone are added up, so that no counter falls.
"""

OF_WORKERS = """\
Sent by each worker of itself, where `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` is set. Names of
OpenTelemetry's messaging conventions where they have one. A label in brackets is not on every point.
"""

SECTIONS = (("GET /metrics", EXPOSED, OF_WEB), ("OTLP", EXPORTED, OF_WORKERS))


def metrics(
    json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
    page: Annotated[
        bool,
        typer.Option("--page", help="Write the documentation of all metrics, as in ops/docs/metrics.md."),
    ] = False,
) -> None:
    """Show every metric that is told at `/metrics` of `callboard web`, or sent over OTLP: its kind, unit, labels and meaning."""
    if page:
        sys.stdout.write(_page())
    elif json:
        emit_json({title: [asdict(metric) for metric in found] for title, found, _ in SECTIONS})
    else:
        for title, found, _ in SECTIONS:
            console().print(title, style="bold")
            console().print(
                table(
                    ["  NAME", "KIND", "UNIT", "LABELS"],
                    [("  " + row[0], *row[1:4]) for row in map(_cells, found)],
                )
            )


def _page() -> str:
    return "\n".join([HEAD, *(_section(title, found, text) for title, found, text in SECTIONS)])


def _section(title: str, found: Sequence[Metric], text: str) -> str:
    rows = ["| " + " | ".join((f"`{cells[0]}`", *cells[1:])) + " |" for cells in map(_cells, found)]
    return "\n".join(
        [
            f"## {title}",
            "",
            text,
            "",
            "| name | kind | unit | labels | what |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _cells(metric: Metric) -> tuple[str, str, str, str, str]:
    return metric.name, metric.kind, metric.unit, ", ".join(metric.labels), metric.text
