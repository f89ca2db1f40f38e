"""What tracing costs: our worker's CPU without it, at 1 % and at 100 %, and what the bare SDK takes for the same spans.

1 %     sampled / without it                      at most 1.05
100 %   (sampled - without it) / the bare SDK     at most 1.3
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from ops.bench.bare import Shape, order_of, shapes_of
from ops.bench.collector import Collector, collecting, one_trace
from ops.bench.figures import BenchError, Servers
from ops.bench.rounds import Tracing, traced
from ops.bench.worker import HOUSE

EVENTS = 3_000
THREADS = 8
RARE = 0.01
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Turn:
    """One round of each, in seconds of CPU."""

    without: float
    rare: float
    full: float
    bare: float

    @property
    def rare_ratio(self) -> float:
        return self.rare / self.without

    @property
    def full_ratio(self) -> float:
        return (self.full - self.without) / self.bare


@dataclass(frozen=True, slots=True)
class TracingCost:
    """`spans` is how many one chain of three actors makes."""

    events: int
    spans: int
    turns: list[Turn]

    def microseconds(self, figure: Callable[[Turn], float]) -> float:
        """CPU a chain, the median of all rounds."""
        return self.median(figure) / self.events * 1e6

    def median(self, figure: Callable[[Turn], float]) -> float:
        return statistics.median(figure(turn) for turn in self.turns)


def measure(servers: Servers, rounds: int, events: int | None, say: Progress) -> TracingCost:
    """Raises BenchError when a span is missing: what is dropped costs nothing."""
    number = events or EVENTS
    with collecting() as collector:
        say("tracing: what one chain's spans look like")
        traced(servers, "chain", THREADS, 1, Tracing(1.0, collector.endpoint))
        shapes = shapes_of(one_trace(collector.spans()))
        turns = [_turn(servers, collector, shapes, number, turn, say) for turn in range(rounds)]
    return TracingCost(number, len(shapes), turns)


def steps_of(rounds: int) -> int:
    return 1 + 4 * rounds


def _turn(
    servers: Servers, collector: Collector, shapes: list[Shape], events: int, turn: int, say: Progress
) -> Turn:
    def ours(sample: float, endpoint: str) -> float:
        return traced(servers, "chain", THREADS, events, Tracing(sample, endpoint))

    def full() -> float:
        collector.spans()
        spent = ours(1.0, collector.endpoint)
        _all_there(collector, len(shapes) * events)
        return spent

    def bare() -> float:
        spent = _bare(shapes, events, collector.endpoint)
        _all_there(collector, len(shapes) * events)
        return spent

    parts: dict[str, Callable[[], float]] = {
        "without": lambda: ours(1.0, ""),
        "rare": lambda: ours(RARE, collector.endpoint),
        "full": full,
        "bare": bare,
    }
    found: dict[str, float] = {}
    for name in parts if turn % 2 == 0 else reversed(parts):
        say(f"tracing, round {turn + 1}: {name}")
        found[name] = parts[name]()
    return Turn(**found)


def _all_there(collector: Collector, wanted: int) -> None:
    if (came := len(collector.spans())) < wanted:
        raise BenchError(f"{came} spans came where {wanted} were made: what is dropped costs nothing")


def _bare(shapes: list[Shape], events: int, endpoint: str) -> float:
    made = subprocess.run(
        [sys.executable, "-c", "from ops.bench.bare import main; main()", order_of(shapes, events)],
        cwd=HOUSE, capture_output=True, text=True, check=False,
        env={**os.environ, **Tracing(1.0, endpoint).environment},
    )  # fmt: skip
    if made.returncode:
        raise BenchError(f"the bare SDK's process ended with {made.returncode}: {made.stderr.strip()[-500:]}")
    return float(made.stdout)
