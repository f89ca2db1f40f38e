"""Debounce and batch against a model in plain Python: whatever comes when, the same events make the same runs."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.testing import Stage
from schemas import Event
from tests.support import fold_cast
from tests.support.fold_cast import Counted, Packed, Touched, diary
from tests.support.waiting import eventually

MakeStage = Callable[..., Stage]
EXAMPLES = int(os.environ.get("CALLBOARD_TEST_EXAMPLES", "4"))
ARRIVALS = st.lists(
    st.tuples(st.sampled_from([0, 5, 25, 45, 65, 95]), st.sampled_from("xy")), min_size=1, max_size=8
)
"""Seconds since the one before, and the key. A sum that falls on a due time is past it: real time passes too."""
numbers = count()


@dataclass
class Model:
    """One key. `due` is when what has gathered starts if nothing more comes."""

    wait: int
    most: int | None
    size: int | None
    quiet: bool
    started: list[list[str]] = field(default_factory=list[list[str]])
    gathered: list[str] = field(default_factory=list[str])
    first: int = 0
    due: int = 0

    def comes(self, name: str, now: int) -> None:
        self.passes(now)
        if not self.gathered:
            self.first = now
        self.gathered.append(name)
        self.due = (now if self.quiet else self.first) + self.wait
        if self.most is not None:
            self.due = min(self.due, self.first + self.most)
        if self.size is not None and len(self.gathered) >= self.size:
            self.start()

    def passes(self, now: int) -> None:
        if self.gathered and now >= self.due:
            self.start()

    def start(self) -> None:
        self.started.append(self.gathered)
        self.gathered = []


def compare(
    stage: Stage,
    make: Callable[[str, str], Event],
    model: Callable[[], Model],
    arrivals: Sequence[tuple[int, str]],
) -> None:
    """Let the events come on the virtual clock; returns once all that they make has run."""
    diary.clear()
    example, now = next(numbers), 0
    keys = {key: model() for _, key in arrivals}
    for place, (gap, key) in enumerate(arrivals):
        if gap:
            stage.clock.advance(timedelta(seconds=gap))
            stage.drain()
        now += gap
        before = stage.rows("select count(*) from run")[0][0]
        stage.publish(make(f"{key}{place}", f"{example}{key}"))
        eventually(lambda before=before: stage.rows("select count(*) from run")[0][0] == before + 1)  # type: ignore[misc]
        stage.drain()
        keys[key].comes(f"{key}{place}", now)
    for _ in range(4):
        stage.clock.advance(timedelta(minutes=2))
        stage.drain()
    for each in keys.values():
        each.passes(now + 480)
    expected = sorted("+".join(group) for each in keys.values() for group in each.started)
    assert sorted(entry for entry in diary if "ends" not in entry) == expected


def test_debounce_that_collects_is_as_its_model(make_stage: MakeStage) -> None:
    stage = make_stage([fold_cast.count])

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(ARRIVALS)
    def holds(arrivals: list[tuple[int, str]]) -> None:
        compare(
            stage,
            lambda name, key: Counted(name=name, key=key),
            lambda: Model(60, None, 1000, True),
            arrivals,
        )

    holds()


def test_batch_is_as_its_model(make_stage: MakeStage) -> None:
    stage = make_stage([fold_cast.pack])

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(ARRIVALS)
    def holds(arrivals: list[tuple[int, str]]) -> None:
        compare(
            stage, lambda name, key: Packed(name=name, key=key), lambda: Model(60, None, 3, False), arrivals
        )

    holds()


def test_debounce_with_a_longest_wait_gives_the_last_event_of_each_group(make_stage: MakeStage) -> None:
    stage = make_stage([fold_cast.touch])

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(ARRIVALS)
    def holds(arrivals: list[tuple[int, str]]) -> None:
        class Last(Model):
            def start(self) -> None:
                self.gathered = self.gathered[-1:]
                super().start()

        compare(
            stage, lambda name, key: Touched(name=name, key=key), lambda: Last(60, 180, None, True), arrivals
        )

    holds()
