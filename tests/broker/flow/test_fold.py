"""Debounce and batch: many events of a key, one run."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID

import pytest

from broker import Batch, CancelOn, ConfigurationError, Debounce, NonRetriable, Policies, Singleton
from broker.cancel import cancel
from broker.dead_letters import Filter, list_letters, open_letters, replay
from broker.errors import CallboardError
from broker.history import gathering, get_run, story
from broker.reopen import Again
from broker.testing import Stage, rehearse
from broker.topology import topology
from ops.boot import App
from ops.evidence import look
from ops.explain import explain
from schemas import Event
from tests.support import fold_cast
from tests.support.fold_cast import MINUTE, Counted, Once, Packed, Rated, Touched, diary, trouble
from tests.support.waiting import eventually

MakeStage = Callable[..., Stage]
OUTCOMES = "select event->>'name', status from run order by id"


@pytest.fixture(autouse=True)
def clean_diary() -> Iterator[None]:
    diary.clear()
    trouble.clear()
    yield
    diary.clear()
    trouble.clear()


def say(stage: Stage, *events: Event) -> None:
    """Publish them one after the other: each is claimed before the next comes."""
    for event in events:
        before = stage.rows("select count(*) from run")[0][0]
        stage.publish(event)
        eventually(lambda before=before: stage.rows("select count(*) from run")[0][0] == before + 1)  # type: ignore[misc]


def pass_time(stage: Stage, *lengths: timedelta) -> None:
    for length in lengths:
        stage.drain()
        stage.clock.advance(length)
        stage.drain()


def gatherer(stage: Stage) -> UUID:
    found: UUID = stage.rows("select id from run where folded_into is null order by id")[0][0]
    return found


def test_the_last_event_of_a_quiet_key_starts_the_run_and_the_others_are_folded(
    make_stage: MakeStage,
) -> None:
    stage = make_stage([fold_cast.touch])
    say(stage, Touched(name="a"), Touched(name="b"))
    pass_time(stage, timedelta(seconds=40))
    say(stage, Touched(name="c"), Touched(name="other", key="another"))
    pass_time(stage, timedelta(seconds=40))
    assert diary == []  # a minute after a, but only 40 s after c
    pass_time(stage, timedelta(seconds=21))
    eventually(lambda: sorted(diary) == ["c", "other"])
    assert stage.rows(OUTCOMES) == [
        ("a", "completed"),
        ("b", "folded"),
        ("c", "folded"),
        ("other", "completed"),
    ]
    assert stage.rows("select attempt from run where status = 'completed'") == [(1,), (1,)]


def test_a_key_that_is_never_quiet_starts_after_its_longest_wait(make_stage: MakeStage) -> None:
    stage = make_stage([fold_cast.touch])
    for name in "abcdef":
        say(stage, Touched(name=name))
        pass_time(stage, timedelta(seconds=31))
    eventually(lambda: diary == ["f"])


def test_an_event_after_the_start_begins_anew(make_stage: MakeStage) -> None:
    stage = make_stage([fold_cast.touch])
    say(stage, Touched(name="a"))
    pass_time(stage, 2 * MINUTE)
    eventually(lambda: diary == ["a"])
    say(stage, Touched(name="b"))
    pass_time(stage, 2 * MINUTE)
    eventually(lambda: diary == ["a", "b"])
    assert stage.rows(OUTCOMES) == [("a", "completed"), ("b", "completed")]


def test_collected_events_come_in_their_order_to_an_async_body_too(make_stage: MakeStage) -> None:
    stage = make_stage([fold_cast.count])
    say(stage, Counted(name="a"), Counted(name="b"), Counted(name="c"))
    pass_time(stage, 2 * MINUTE)
    eventually(lambda: diary == ["a+b+c"])


def test_a_full_batch_starts_at_once_and_the_rest_when_its_time_is_up(make_stage: MakeStage) -> None:
    stage = make_stage([fold_cast.pack])
    say(stage, *[Packed(name=name) for name in "abcd"])
    eventually(lambda: diary == ["a+b+c"])
    pass_time(stage, 2 * MINUTE)
    eventually(lambda: diary == ["a+b+c", "d", "k ends with 3"] or diary == ["a+b+c", "k ends with 3", "d"])
    pass_time(stage, 2 * MINUTE)
    eventually(lambda: diary[-1] == "k ends with 1")


def test_many_events_at_once_make_whole_batches_and_none_is_lost(make_stage: MakeStage) -> None:
    stage = make_stage([fold_cast.pack])
    for number in range(32):
        stage.publish(Packed(name=str(number)))
    eventually(lambda: stage.rows("select count(*) from run") == [(32,)])
    eventually(lambda: len(diary) == 10)
    pass_time(stage, 2 * MINUTE, 2 * MINUTE)
    packed = [entry for entry in diary if "ends" not in entry]
    assert sorted(int(name) for entry in packed for name in entry.split("+")) == list(range(32))
    assert sorted(entry.count("+") + 1 for entry in packed) == [2, *[3] * 10]
    assert stage.rows("select distinct status from run order by 1") == [("completed",), ("folded",)]


def test_a_dead_letter_of_a_batch_replays_all_of_it(make_stage: MakeStage) -> None:
    stage = make_stage([fold_cast.pack])
    trouble.append(NonRetriable("no"))
    say(stage, *[Packed(name=name) for name in "abc"])
    eventually(lambda: diary == ["a+b+c"])
    pass_time(stage, 2 * MINUTE)
    with stage.database.once("test") as connection:
        eventually(lambda: len(list_letters(connection)) == 1)
        ids = open_letters(connection, Filter(reason="not retriable")) or open_letters(connection, Filter())
        with pytest.raises(CallboardError, match="made of several events"):
            replay(connection, ids, Again("ada", event=b'{"name": "z"}'))
        replay(connection, ids, Again("ada"))
    stage.drain()
    assert diary == [
        "a+b+c",
        "k ends with 3",
        "k ends with 3",
    ]  # the finished step is kept, and so are the events


def test_a_published_twice_event_is_folded_once(make_stage: MakeStage) -> None:
    stage = make_stage([fold_cast.count])
    say(stage, Counted(name="a"))
    again = Counted(name="b")
    stage.publish(again, id="the-same")
    stage.publish(again, id="the-same")
    eventually(lambda: stage.rows("select count(*) from run") == [(2,)])
    stage.drain()
    pass_time(stage, 2 * MINUTE)
    eventually(lambda: diary == ["a+b"])


def test_many_events_that_are_one_run_are_one_start_of_a_rate_limit(make_stage: MakeStage) -> None:
    stage = make_stage([fold_cast.rate])
    say(stage, Rated(name="a"), Rated(name="b"))
    pass_time(stage, 2 * MINUTE)
    eventually(lambda: diary == ["b"])
    say(stage, Rated(name="c"))
    pass_time(stage, 2 * MINUTE)
    eventually(lambda: stage.rows(OUTCOMES)[-1] == ("c", "skipped"))


def test_a_cancelled_gathering_is_not_folded_into_any_more(make_stage: MakeStage) -> None:
    stage = make_stage([fold_cast.touch])
    say(stage, Touched(name="a"), Touched(name="b"))
    with stage.database.once("test") as connection:
        cancel(connection, topology("callboard", {}), [gatherer(stage)], "ada")
    say(stage, Touched(name="c"))
    pass_time(stage, 2 * MINUTE)
    eventually(lambda: diary == ["c"])
    assert stage.rows(OUTCOMES) == [("a", "cancelled"), ("b", "folded"), ("c", "completed")]


def test_a_dead_letter_frees_the_idempotency_keys_of_all_its_events(make_stage: MakeStage) -> None:
    stage = make_stage([fold_cast.once])
    say(stage, Once(name="a"), Once(name="b"))
    pass_time(stage, 2 * MINUTE)
    eventually(lambda: stage.rows("select count(*) from dead_letter") == [(1,)])
    assert stage.rows("select * from limit_idempotency") == []


def test_why_and_the_timeline_tell_of_the_gathering(make_stage: MakeStage) -> None:
    stage = make_stage([fold_cast.touch])
    say(stage, Touched(name="a"), Touched(name="b"))
    first = gatherer(stage)
    with stage.database.once("test") as connection:
        found = gathering(connection, first)
        assert found is not None and (found.key, found.members) == ("k", 2)
        told = story(connection, get_run(connection, first))
        assert told.folded_count == 1 and told.folded[0].reason == f"folded into run {first}"
        evidence = look(connection, stage.settings, App(), str(first))
        [why] = [finding.why for finding in explain(evidence) if str(first) in finding.subject]
        assert "the debounce of fold_cast.touch has gathered 2 events of key 'k' so far" in why
        second = look(connection, stage.settings, App(), str(told.folded[0].id))
        assert any(f"run {first} of the same actor does its work" in f.why for f in explain(second))


def test_a_gathering_body_is_rehearsed_with_its_events() -> None:
    events = [Packed(name="a"), Packed(name="b")]
    rehearse(fold_cast.pack, events[-1], gathered=events, time_passes=True)
    assert diary == ["a+b", "k ends with 2"]


@pytest.mark.parametrize(
    ("policies", "told"),
    [
        ({"debounce": Debounce(MINUTE), "batch": Batch(2, MINUTE)}, "give it one of them"),
        ({"debounce": Debounce(MINUTE), "singleton": Singleton()}, "singleton would skip"),
        ({"batch": Batch(2, MINUTE), "deadline": MINUTE}, "its deadline would end while it gathers"),
        ({"debounce": Debounce(MINUTE, key="key"), "cancel_on": CancelOn(Rated, "name")}, "match by the key"),
        ({"debounce": Debounce(MINUTE, key="kye")}, "Did you mean 'key'"),
    ],
)
def test_what_does_not_go_together_is_refused_where_it_is_declared(
    policies: dict[str, object], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Policies(**policies).check("a.b", (Touched,))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Debounce(timedelta(0)),
        lambda: Debounce(MINUTE, max_wait=timedelta(seconds=1)),
        lambda: Batch(1, MINUTE),
        lambda: Batch(1001, MINUTE),
        lambda: Batch(2, timedelta(0)),
    ],
)
def test_senseless_numbers_are_refused(make: Callable[[], Debounce | Batch]) -> None:
    with pytest.raises(ConfigurationError):
        make()
