"""What the bench tells: tables for people, JSON for scripts, a picture for the documents."""

import platform
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from rich.console import Console

from ops.bench.figures import Outcome, Side
from ops.bench.machine import Limits
from ops.bench.programme import Comparison, Results, Waits, most_at_once, percentile
from ops.bench.tracing import TracingCost, Turn
from ops.cli.screen import table

SIDES: tuple[Side, ...] = ("ours", "plain")
MEGABYTE = 1_000_000
_TITLES = {"ours": "Callboard", "plain": "plain Dramatiq"}
_PACKAGES = ("dramatiq", "pika", "psycopg", "pydantic")


def show(out: Console, results: Results, limits: Limits) -> None:
    if results.comparisons:
        rows = [_rate_row(found) for found in results.comparisons]
        out.print(table(["SCENARIO", "CALLBOARD", "DRAMATIQ", "RATIO", "MIN-MAX", "THREADS", "QUIET"], rows))
        out.print(
            "events (chains, runs) a second, publishing and draining; median of the quiet rounds\n",
            style="dim",
        )
        costs = [_cost_row(found, side) for found in results.comparisons for side in SIDES]
        out.print(table(["SCENARIO", "SIDE", "CLIENT", "RABBITMQ", "POSTGRESQL", "ALL", "PEAK"], costs))
        out.print(
            "µs of CPU an event (chain, run); publishing and the worker's start included\n", style="dim"
        )
    if results.waits:
        out.print(
            table(
                ["SCENARIO", "SIDE", "FOUND"], [row for found in results.waits for row in _wait_rows(found)]
            )
        )
        out.print()
    if results.tracing:
        _show_tracing(out, results.tracing)
    out.print(
        f"this machine, one connection: {limits.confirmed_publishes:,.0f} confirmed publishes/s to a quorum queue, "
        f"{limits.one_row_commits:,.0f} one-row commits/s, {limits.round_trips:,.0f} round trips/s",
        soft_wrap=True,
    )
    out.print(
        "both sides: one worker process, quorum queues, confirms; Callboard publishes 500 in a hand-over",
        style="dim",
    )


def to_json(results: Results, limits: Limits) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": {"processor": platform.machine(), "system": platform.system(), **asdict(limits)},
        "packages": {name: version(name) for name in _PACKAGES},
        "comparisons": [
            {**asdict(found), "ratio": found.ratio, "ratios": found.ratios} for found in results.comparisons
        ],
        "waits": [asdict(found) for found in results.waits],
        "tracing": asdict(results.tracing) if results.tracing else None,
    }


def _show_tracing(out: Console, found: TracingCost) -> None:
    def row(name: str, figure: Callable[[Turn], float], ratio: str = "") -> tuple[str, ...]:
        return (name, f"{found.microseconds(figure):,.0f}", ratio)

    rows = [
        row("none", lambda turn: turn.without),
        row("1 %", lambda turn: turn.rare, f"{found.median(lambda turn: turn.rare_ratio):.3f} × none"),  # noqa: RUF001
        row(
            "100 %",
            lambda turn: turn.full,
            f"{found.median(lambda turn: turn.full_ratio):.2f} × the bare SDK, both above none",  # noqa: RUF001
        ),
        row("none, and a body that makes the same spans with the bare SDK", lambda turn: turn.bare),
    ]
    out.print(table(["TRACES", "CPU", "RATIO"], rows))
    out.print(
        f"µs of the worker's CPU a chain of three actors; {found.spans} spans, sent over HTTP; median of {len(found.turns)} "
        "rounds\n",
        style="dim",
    )


def _rate_row(found: Comparison) -> tuple[str, ...]:
    rates = [f"{found.median(side, _rate):,.0f}" for side in SIDES]
    ratios = found.ratios
    return (
        found.scenario,
        *rates,
        f"{found.ratio:.2f} ×",  # noqa: RUF001  the sign
        f"{ratios[0]:.2f}-{ratios[-1]:.2f}",
        f"{found.threads['ours']}, {found.threads['plain']}",
        f"{sum(pair.quiet for pair in found.pairs)} of {len(found.pairs)}",
    )


def _rate(outcome: Outcome) -> float:
    return outcome.rate


def _cost_row(found: Comparison, side: Side) -> tuple[str, ...]:
    parts = [
        found.median(side, lambda outcome: outcome.cpu_client / outcome.events),
        found.median(side, lambda outcome: outcome.cpu_rabbit / outcome.events),
        found.median(side, lambda outcome: outcome.cpu_postgres / outcome.events),
    ]
    peak = found.median(side, lambda outcome: outcome.peak_bytes) / MEGABYTE
    told = [f"{part * 1e6:,.0f}" for part in (*parts, sum(parts))]
    return (found.scenario, _TITLES[side], *told, f"{peak:.0f} MB")


def _wait_rows(found: Waits) -> list[tuple[str, str, str]]:
    return [(found.scenario, _TITLES[side], _told(found, side)) for side in SIDES]


def _told(found: Waits, side: Side) -> str:
    outcome = found.outcomes[side]
    told = outcome.told
    if found.scenario == "async":
        return f"{most_at_once(told)} waits of 1 s at once; all {outcome.events} begun after {outcome.drain:.1f} s"
    if found.scenario == "delayed":
        late = f"{told[0] - 2000:.0f} ms late" if told else "not within 8 s after it was due"
        return f"worker grew by {outcome.grown_bytes / MEGABYTE:.1f} MB; an event due in 2 s came {late}"
    if not told:
        return "nothing came"
    return f"p50 {percentile(told, 0.5):.1f} ms, p99 {percentile(told, 0.99):.1f} ms, of {len(told)}"
