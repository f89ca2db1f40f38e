"""The pulse of a row: how fast effects come, how soon they come again after an outage, what memory the workers hold.

Taken while the load is published. Bars are those of ops/docs/reliability.md, "How it is tested".
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from ops.bench.machine import resident_bytes

WINDOW_SECONDS = 1.0
FLAT = 1.05
"""Mean memory of the last quarter over that of the first."""
LONG_ENOUGH = timedelta(minutes=3)
"""Of a shorter row the first quarter is the workers' own start."""
WARM_UP_SECONDS = 30.0
"""Of a process: it boots from 10 to 69 MB in seconds, more of them the busier the machine is, and then stays there."""


@dataclass(frozen=True, slots=True)
class Bar:
    """After each outage effects must come again at `share` of the load's rate `within` so long; share 0: at all."""

    share: float
    within: timedelta


@dataclass
class Pulse:
    """Times are monotonic, in seconds. Beats come from one thread, outages from others."""

    beats: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    """When, and how many effects there were."""
    outages: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """From the moment a server was taken away until it took connections again."""
    memory: defaultdict[int, list[tuple[float, int]]] = field(
        default_factory=lambda: defaultdict[int, list[tuple[float, int]]](list)
    )
    """By process: when, and its resident bytes."""

    def beat(self, done: int, pids: Iterable[int]) -> None:
        now = time.monotonic()
        self.beats.append((now, done))
        for pid in pids:
            if size := resident_bytes(pid):
                self.memory[pid].append((now, size))

    @contextmanager
    def outage(self) -> Generator[None]:
        began = time.monotonic()
        yield
        self.outages.append((began, time.monotonic()))

    def recoveries(self, bar: Bar, rate: float) -> Sequence[float]:
        """Seconds from the end of each outage until effects came at the bar's share of `rate` (effects a second) again.

        An outage that another one, or the end of the load, followed before the time was up is not counted.
        """
        outages = sorted(self.outages)
        if not outages or not self.beats:
            return []
        ends = [*(began for began, _ in outages[1:]), self.beats[-1][0]]
        found: list[float] = []
        for (_, ready), end in zip(outages, ends, strict=True):
            back = self._back(ready, end, bar.share * rate)
            if back is not None:
                found.append(back)
            elif end - ready > bar.within.total_seconds():
                found.append(end - ready)
        return found

    def growth(self) -> float | None:
        """The worst growth of a process that lived from the first beat to the last; None when none did or the row was short."""
        if not self.beats or self.beats[-1][0] - self.beats[0][0] < LONG_ENOUGH.total_seconds():
            return None
        most = max((len(samples) for samples in self.memory.values()), default=0)
        whole = [samples for samples in self.memory.values() if len(samples) == most]
        warm = [[size for at, size in samples if at - samples[0][0] >= WARM_UP_SECONDS] for samples in whole]
        return max((_growth(sizes) for sizes in warm if sizes), default=None)

    def _back(self, ready: float, end: float, wanted: float) -> float | None:
        after = [(at, done) for at, done in self.beats if ready <= at <= end]
        for place, (at, done) in enumerate(after):
            since = [(then, there) for then, there in after[:place] if at - then >= WINDOW_SECONDS]
            if since and (done - since[-1][1]) / (at - since[-1][0]) >= max(wanted, 1e-9):
                return at - ready
        return None


def _growth(sizes: Sequence[int]) -> float:
    quarter = max(1, len(sizes) // 4)
    return statistics.mean(sizes[-quarter:]) / statistics.mean(sizes[:quarter])
