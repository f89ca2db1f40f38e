"""What tracing costs: our worker's CPU without it, at 1 %, at 100 %, and where a body makes the same spans with the bare SDK.

1 %     sampled / without it                                    at most 1.05
100 %   (sampled - without it) / (the bare SDK - without it)    at most 1.3
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from ops.bench.bare import shapes_of, to_text
from ops.bench.collector import Collector, collecting, one_trace
from ops.bench.figures import BenchError, Servers
from ops.bench.rounds import NOWHERE, Tracing, traced

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
        return (self.full - self.without) / (self.bare - self.without)


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
        ways = {
            "without": NOWHERE,
            "rare": Tracing(RARE, collector.endpoint),
            "full": Tracing(1.0, collector.endpoint),
            "bare": Tracing(1.0, collector.endpoint, to_text(shapes)),
        }
        turns = [_turn(servers, collector, ways, len(shapes), number, turn, say) for turn in range(rounds)]
    return TracingCost(number, len(shapes), turns)


def steps_of(rounds: int) -> int:
    return 1 + 4 * rounds


def _turn(
    servers: Servers,
    collector: Collector,
    ways: dict[str, Tracing],
    spans: int,
    events: int,
    turn: int,
    say: Progress,
) -> Turn:
    found: dict[str, float] = {}
    for name in ways if turn % 2 == 0 else reversed(ways):
        say(f"tracing, round {turn + 1}: {name}")
        collector.spans()
        found[name] = traced(servers, "chain", THREADS, events, ways[name])
        came = len(collector.spans())
        if name in ("full", "bare") and came < spans * events:
            raise BenchError(
                f"{name}: {came} spans came where {spans * events} were made: what is dropped costs nothing"
            )
    return Turn(**found)
