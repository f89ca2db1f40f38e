"""What came out of a run: a table, the histories of offenders, JSON, and a section for the docs."""

import statistics
from collections.abc import Sequence
from datetime import date
from typing import Any

from rich.console import Console

from ops.chaos.programme import Result
from ops.cli.screen import table

HEADERS = (
    "ROW", "TRANSPORT", "FAULTS", "ATTEMPTED", "ACKNOWLEDGED", "LOST", "DUPLICATED", "RECOVERED", "UNEXPECTED", "SECONDS",
)  # fmt: skip


def show(out: Console, results: Sequence[dict[str, Any]]) -> None:
    out.print(table(HEADERS, [_cells(result) for result in results]))
    for line in _asides(results):
        out.print(line, style="dim")
    for result in results:
        if not result["broken"]:
            continue
        out.print(f"\n{result['row']} on {result['transport']}, seed {result['seed']}: broken", style="red")
        for line in result["broken"]:
            out.print(f"  {line}")
        for n, history in result["histories"]:
            out.print(f"  event chaos-{n}:", style="dim")
            for line in history:
                out.print(f"    {line}", style="dim")


def to_json(result: Result) -> dict[str, Any]:
    verdict = result.verdict
    return {
        "row": result.trial.name,
        "transport": result.trial.transport,
        "seed": result.trial.seed,
        "events": result.trial.size.events,
        "guard_broken": result.trial.guard or None,
        "faults": result.faults,
        "attempted": verdict.attempted,
        "acknowledged": verdict.acknowledged,
        "lost": verdict.lost,
        "duplicated": verdict.duplicated,
        "recovered": verdict.recovered,
        "unexpected": verdict.unexpected,
        "seconds": round(result.seconds, 1),
        "resumed_seconds": [round(kill, 3) for kill in result.kills],
        "recovered_seconds": [round(back, 1) for back in result.recoveries],
        "memory_growth": None if result.growth is None else round(result.growth, 3),
        "given_up_seconds": {actor: round(seconds, 2) for actor, seconds in result.given_up},
        "dead_rows": round(result.dead_rows, 3),
        "broken": list(result.broken),
        "histories": [[n, list(lines)] for n, lines in result.histories],
    }


def to_markdown(results: Sequence[dict[str, Any]], day: date) -> str:
    """A section: the date, the seed, the table."""
    seeds = ", ".join(sorted({str(result["seed"]) for result in results}))
    lines = [
        f"### {day.isoformat()}, seed {seeds}",
        "",
        "| " + " | ".join(header.lower() for header in HEADERS) + " | broken |",
        "|" + "---|" * (len(HEADERS) + 1),
        *(
            "| " + " | ".join([*_cells(result), "; ".join(result["broken"]) or "none"]) + " |"
            for result in results
        ),
        "",
    ]
    for line in _asides(results):
        lines += [line[0].upper() + line[1:] + ".", ""]
    return "\n".join(lines)


def _cells(result: dict[str, Any]) -> list[str]:
    keys = (
        "row",
        "transport",
        "faults",
        "attempted",
        "acknowledged",
        "lost",
        "duplicated",
        "recovered",
        "unexpected",
    )
    return [*(str(result[key]) for key in keys), f"{result['seconds']:.0f}"]


def _asides(results: Sequence[dict[str, Any]]) -> list[str]:
    """What the table has no column for."""
    backs = [back for result in results for back in result.get("recovered_seconds", [])]
    grown = [result["memory_growth"] for result in results if result.get("memory_growth") is not None]
    lines = [resumed] if (resumed := _resumed(results)) else []
    for result in results:
        for actor, seconds in result.get("given_up_seconds", {}).items():
            lines.append(
                f"bodies of {actor} that hang were given up at most {seconds:.2f} s after their start ({result['transport']})"
            )
    if backs:
        median, worst = statistics.median(backs), max(backs)
        lines.append(
            f"from the end of an outage until work flows again: median {median:.1f} s, worst {worst:.1f} s ({len(backs)} outages)"
        )
    if grown:
        lines.append(
            f"memory of the last quarter over the first: at most {max(grown):.3f} ({len(grown)} long rows)"
        )
    return lines


def _resumed(results: Sequence[dict[str, Any]]) -> str:
    found = sorted(kill for result in results for kill in result["resumed_seconds"])
    if not found:
        return ""
    p99 = found[min(len(found) - 1, int(len(found) * 0.99))]
    return (
        f"from kill -9 to the first run that goes on: median {statistics.median(found):.2f} s, p99 {p99:.2f} s, "
        f"worst {found[-1]:.2f} s ({len(found)} kills of workers that had work)"
    )
