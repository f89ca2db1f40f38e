"""Every option of flow control against a model in plain Python, on the virtual clock: whatever comes when, each run's row says
what the model says after every event and every passing of time.

CALLBOARD_TEST_EXAMPLES sets how many histories are tried for each option.
"""

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker import Actor
from broker.testing import Stage
from tests.broker.flow import models
from tests.broker.flow.models import Model
from tests.support import model_cast
from tests.support.flow_cast import gate
from tests.support.model_cast import ModelAsked, ModelStopped
from tests.support.waiting import eventually

# Doors are SQL: how an event arrives makes no difference to them.
pytestmark = pytest.mark.parametrize("make_stage", ["postgres"], indirect=True)

MakeStage = Callable[..., Stage]
Arrival = tuple[int, str, dict[str, Any]]
"""Minutes since the one before, key, further fields. No sum of these gaps falls within a minute after an hour, a nap or a pause:
real time passes, too."""

EXAMPLES = int(os.environ.get("CALLBOARD_TEST_EXAMPLES", "4"))
KEYS = st.sampled_from("xy")
numbers = count()


def arrivals(
    gaps: Sequence[int] = (0, 11, 31, 71), **fields: st.SearchStrategy[Any]
) -> st.SearchStrategy[list[Arrival]]:
    return st.lists(
        st.tuples(st.sampled_from(gaps), KEYS, st.fixed_dictionaries(fields)), min_size=1, max_size=10
    )


class Play:
    """One history: the stage and the model see the same."""

    def __init__(self, stage: Stage, model: Model) -> None:
        self.stage, self.model = stage, model
        self.example, self.now, self.places = next(numbers), 0, count()

    def passes(self, minutes: int) -> None:
        if minutes:
            self.stage.clock.advance(timedelta(minutes=minutes))
            self.stage.drain()
            self.now += minutes
            self.model.passes(self.now)

    def comes(self, key: str, **fields: Any) -> None:
        asked = ModelAsked(name=f"{self.example} {next(self.places)}", key=f"{self.example} {key}", **fields)
        self.stage.publish(asked, time=self.clock() - timedelta(minutes=asked.age))
        self.model.comes(asked, self.now)
        self.agree()

    def agree(self) -> None:
        def same() -> bool:
            assert self.rows() == self.model.told
            return True

        eventually(same)

    def clock(self) -> datetime:
        now: datetime = self.stage.rows("select clock()")[0][0]
        return now

    def rows(self) -> dict[str, str]:
        found = "select event->>'name', status from run where event->>'key' like %s"
        return dict(self.stage.rows(found, (f"{self.example} %",)))

    def ends(self, gap: int) -> None:
        """Let time pass until nothing changes any more."""
        while set(self.model.told.values()) & {"waiting", "retrying"}:
            self.passes(gap)
            self.agree()


def compare(
    stage: Stage, model: Callable[[], Model], histories: st.SearchStrategy[list[Arrival]], gap: int = 71
) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, database=None)
    @given(histories)
    def holds(history: list[Arrival]) -> None:
        play = Play(stage, model())
        for minutes, key, fields in history:
            play.passes(minutes)
            play.comes(key, **fields)
        play.ends(gap)

    holds()


FAILS = st.integers(0, 3)
OPTIONS: dict[str, tuple[Actor[Any, Any, Any], Callable[[], Model], st.SearchStrategy[list[Arrival]], int]] = {
    "rate limit": (model_cast.rate, models.Rated, arrivals(), 71),
    # A start later than an interval after its reservation is reserved anew: time passes in smaller steps.
    "throttle": (model_cast.pace, models.Paced, arrivals((0, 11, 31)), 31),
    "idempotency": (model_cast.once, models.Once, arrivals(fails=st.integers(0, 1)), 71),
    "singleton": (model_cast.alone, partial(models.Napping, ("waiting", "skipped")), arrivals(), 71),
    "singleton that cancels": (model_cast.latest, partial(models.Napping, ("cancelled", "waiting")), arrivals(), 71),
    "max age": (model_cast.age, models.Aged, arrivals(age=st.sampled_from([0, 40, 59, 61, 200])), 71),
    "deadline": (
        model_cast.bound,
        models.Bounded,
        arrivals(sleeps=st.lists(st.sampled_from([13, 27]), max_size=4)),
        11,
    ),
    "concurrency in order": (model_cast.order, models.Ordered, arrivals(fails=FAILS), 31),
}  # fmt: skip


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_is_as_its_model(make_stage: MakeStage, option: str) -> None:
    actor, model, histories, gap = OPTIONS[option]
    compare(make_stage([actor]), model, histories, gap)


def test_cancel_on_is_as_its_model(make_stage: MakeStage) -> None:
    stage = make_stage([model_cast.heed])

    @settings(max_examples=EXAMPLES, deadline=None, database=None)
    @given(
        st.lists(st.tuples(st.sampled_from([0, 11, 31, 71]), KEYS, st.booleans()), min_size=2, max_size=12)
    )
    def holds(history: list[tuple[int, str, bool]]) -> None:
        model = models.Napping()
        play = Play(stage, model)
        for minutes, key, stops in history:
            play.passes(minutes)
            if stops:
                stage.publish(ModelStopped(key=f"{play.example} {key}"))
                model.stops(f"{play.example} {key}")
                play.agree()
            else:
                play.comes(key)
        play.ends(71)

    holds()


def test_concurrency_and_priority_are_as_their_model(make_stage: MakeStage) -> None:
    stage = make_stage([model_cast.ask])
    happens = st.one_of(st.tuples(KEYS, st.integers(-1, 1)), st.integers(0, 3))

    @settings(max_examples=EXAMPLES, deadline=None, database=None)
    @given(st.lists(happens, min_size=4, max_size=14))
    def holds(history: list[tuple[str, int] | int]) -> None:
        model = models.Slots()
        play = Play(stage, model)
        for each in [*history, *[0] * len(history)]:
            if isinstance(each, tuple):
                play.comes(each[0], rank=each[1])
            elif (name := model.ends(each)) is not None:
                gate(name).set()
                play.agree()
        assert set(model.told.values()) <= {"completed"}

    holds()
