"""The programme: which rounds are run for a scenario, in which order, and what is made of their figures.

Sides alternate, and take turns in going first; a ratio is made of two rounds that ran one after the other, so that a machine
whose speed drifts drifts for both.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ops.bench import tracing
from ops.bench.figures import Outcome, Servers, Side
from ops.bench.job import Scenario
from ops.bench.machine import wait_for_quiet
from ops.bench.rounds import backlog, delayed, paced
from ops.bench.tracing import TracingCost

THREADS: dict[Side, tuple[int, ...]] = {"plain": (1, 4, 8), "ours": (4, 8, 64)}
"""Tried once a scenario, on a quarter of the events; the best is used. Ours gains from more: threads in steps share a commit."""
EVENTS: dict[Scenario, int] = {
    "tiny": 10_000,
    "chain": 2_000,
    "transaction": 2_000,
    "steps": 2_000,
    "latency": 400,
    "async": 500,
    "delayed": 50_000,
}
BACKLOGS: tuple[Scenario, ...] = ("tiny", "chain", "transaction", "steps")
ALONE_EVENTS = 100
COMMANDS: dict[str, tuple[Scenario, ...]] = {
    "tiny": ("tiny",),
    "chain": ("chain", "transaction"),
    "steps": ("steps",),
    "latency": ("latency",),
    "async": ("async",),
    "delayed": ("delayed",),
    "tracing": (),
    "all": ("tiny", "chain", "transaction", "steps", "latency", "async", "delayed"),
}

WITH_TRACING = ("tracing", "all")

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Pair:
    """One round of each side, one right after the other."""

    ours: Outcome
    plain: Outcome
    quiet: bool

    @property
    def ratio(self) -> float:
        return self.ours.rate / self.plain.rate


@dataclass(frozen=True, slots=True)
class Comparison:
    """A scenario that both sides drain from a backlog."""

    scenario: Scenario
    threads: dict[Side, int]
    pairs: Sequence[Pair]

    @property
    def counted(self) -> Sequence[Pair]:
        """The quiet pairs; all of them where there is none."""
        return [pair for pair in self.pairs if pair.quiet] or self.pairs

    @property
    def ratios(self) -> list[float]:
        return sorted(pair.ratio for pair in self.counted)

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    def median(self, side: Side, figure: Callable[[Outcome], float]) -> float:
        return statistics.median(figure(getattr(pair, side)) for pair in self.counted)


@dataclass(frozen=True, slots=True)
class Waits:
    """What bodies told, for scenarios that are about time: milliseconds, or moments for `async`."""

    scenario: str
    outcomes: dict[Side, Outcome]


@dataclass(slots=True)
class Results:
    comparisons: list[Comparison] = field(default_factory=list)
    waits: list[Waits] = field(default_factory=list)
    tracing: TracingCost | None = None


def run(servers: Servers, what: str, rounds: int, events: int | None, say: Progress) -> Results:
    """`what` is one of COMMANDS. Raises BenchError when a round was not done, or not once."""
    results = Results()
    for name in COMMANDS[what]:
        number = events or EVENTS[name]
        if name in BACKLOGS:
            results.comparisons.append(_compared(servers, name, rounds, number, say))
        else:
            results.waits.append(Waits(name, dict(_waited(servers, name, number, say))))
        if name == "steps":
            say("steps, one run alone")
            alone = min(ALONE_EVENTS, number)
            results.waits.append(
                Waits("alone", {side: paced(servers, side, "steps", 8, alone) for side in sides(0)})
            )
    if what in WITH_TRACING:
        results.tracing = tracing.measure(servers, rounds, events, say)
    return results


def steps_of(what: str, rounds: int) -> int:
    """How often `run` will say something."""
    trials = sum(len(found) for found in THREADS.values())
    own = sum(trials + 2 * rounds + (name == "steps") if name in BACKLOGS else 2 for name in COMMANDS[what])
    return own + (tracing.steps_of(rounds) if what in WITH_TRACING else 0)


def sides(turn: int) -> tuple[Side, Side]:
    """Who goes first changes with each turn: what the first leaves in caches and files serves the second."""
    return ("ours", "plain") if turn % 2 == 0 else ("plain", "ours")


def percentile(values: Sequence[float], share: float) -> float:
    """Of a sorted copy; the nearest rank."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * share))]


def most_at_once(starts: Sequence[float], lasted: float = 1.0) -> int:
    """Of waits that last so long (seconds), from the moments of their starts."""
    ranked = sorted(starts)
    first = best = 0
    for last, start in enumerate(ranked):
        while start - ranked[first] >= lasted:
            first += 1
        best = max(best, last - first + 1)
    return best


def _compared(servers: Servers, name: Scenario, rounds: int, events: int, say: Progress) -> Comparison:
    threads: dict[Side, int] = {side: _best(servers, side, name, events, say) for side in sides(0)}
    pairs: list[Pair] = []
    for turn in range(rounds):
        quiet = wait_for_quiet()
        made: dict[Side, Outcome] = {}
        for side in sides(turn):
            say(f"{name}, round {turn + 1}: {side}")
            made[side] = backlog(servers, side, name, threads[side], events)
        pairs.append(Pair(made["ours"], made["plain"], quiet))
    return Comparison(name, threads, pairs)


def _best(servers: Servers, side: Side, name: Scenario, events: int, say: Progress) -> int:
    tried: dict[int, float] = {}
    for threads in THREADS[side]:
        say(f"{name}: {side} with {threads} threads")
        tried[threads] = backlog(servers, side, name, threads, max(events // 4, 1)).rate
    return max(tried, key=lambda threads: tried[threads])


def _waited(servers: Servers, name: Scenario, events: int, say: Progress) -> Iterator[tuple[Side, Outcome]]:
    wait_for_quiet()
    for side in sides(0):
        say(f"{name}: {side}")
        if name == "delayed":
            yield side, delayed(servers, side, 8, events)
        elif name == "async":
            yield side, backlog(servers, side, name, 8, events if side == "ours" else min(events, 40))
        else:
            yield side, paced(servers, side, name, 8, events)
