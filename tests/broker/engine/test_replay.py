"""Replays and re-runs: the same run goes on, once, with the steps that are kept and the payload that a person has edited."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from broker import CallboardError
from broker.dead_letters import Filter, discard, get_letter, list_letters, open_letters, replay
from broker.errors import CodeChangedError, NotFoundError
from broker.reopen import Again, rerun
from broker.testing import Stage
from broker.transports.base import WireMessage
from tests.support import cast
from tests.support.cast import CastAnswered, CastBurst, CastCalled, CastFlaky, diary, trouble

MakeStage = Callable[..., Stage]
ANA = Again("ana")
ANY = Filter()


@pytest.fixture(autouse=True)
def clean_diary() -> Iterator[None]:
    cast.forget()
    yield
    cast.gate.set()


def opened(stage: Stage, wanted: Filter = ANY) -> list[UUID]:
    with stage.database.once("test") as connection:
        return open_letters(connection, wanted)


def replayed(stage: Stage, ids: list[UUID], again: Again = ANA) -> list[UUID]:
    with stage.database.once("test") as connection:
        done = replay(connection, ids, again)
    stage.drain()
    return done


def failed_call(stage: Stage, n: int = 1) -> UUID:
    """A run that has prepared and could not perform; its dead letter."""
    trouble[f"perform {n}"] = 3
    stage.publish(CastCalled(n=n), id=f"call {n}")
    stage.drain()
    [letter] = opened(stage)
    diary.clear()
    return letter


def test_letters_are_chosen_by_what_they_are(make_stage: MakeStage) -> None:
    stage = make_stage([cast.flake, cast.hear_failure, cast.burst])
    trouble["final"] = 1
    stage.publish(CastFlaky())
    stage.publish(CastBurst(text="x"))
    stage.drain()
    everything = opened(stage)
    assert len(everything) == 2
    [flaky] = opened(stage, Filter(actor="cast.flake"))
    [burst] = opened(stage, Filter(event_type="cast.burst"))
    assert {flaky, burst} == set(everything)
    assert opened(stage, Filter(error="PROVIDER REFUSES")) == [flaky]
    assert opened(stage, Filter(error="100%")) == []
    assert opened(stage, Filter(reason="attempts used up")) == []
    now = datetime.now(UTC)
    assert opened(stage, Filter(since=now + timedelta(hours=1))) == []
    assert len(opened(stage, Filter(since=now - timedelta(hours=1), until=now + timedelta(hours=1)))) == 2


def test_two_people_replay_a_letter_at_the_same_moment_and_it_runs_once(make_stage: MakeStage) -> None:
    stage = make_stage([cast.call, cast.answer])
    letter = failed_call(stage)
    done: dict[str, list[UUID]] = {}
    together = threading.Barrier(2)

    def replays(person: str) -> None:
        with stage.database.once("test") as connection:
            together.wait()
            done[person] = replay(connection, [letter], Again(person))

    people = [threading.Thread(target=replays, args=(person,)) for person in ("ana", "ben")]
    for person in people:
        person.start()
    for person in people:
        person.join()
    stage.drain()
    [winner] = [person for person, letters in done.items() if letters]
    assert diary == ["perform 1", "answered 1"]
    with stage.database.once("test") as connection:
        settled = get_letter(connection, letter)
    assert (settled.settled_as, settled.settled_by) == ("replayed", winner)
    assert stage.rows("select who, what from audit") == [(winner, "reopen")]


def test_an_edited_payload_runs_and_the_letter_keeps_what_had_died(make_stage: MakeStage) -> None:
    stage = make_stage([cast.call, cast.answer])
    letter = failed_call(stage)
    assert replayed(stage, [letter], Again("ana", steps=False, event=b'{"n": 2, "who": "ben"}')) == [letter]
    assert diary == ["prepare 2", "perform 2", "answered 2"]
    with stage.database.once("test") as connection:
        kept = get_letter(connection, letter)
    assert kept.event == {"n": 1, "who": "anyone"} and kept.edited == {"n": 2, "who": "ben"}
    # The first event again is still known by its id and its own payload.
    stage.publish(CastCalled(n=1), id="call 1")
    stage.drain()
    assert opened(stage) == [] and len(diary) == 3


def test_an_edited_payload_that_does_not_fit_changes_nothing(make_stage: MakeStage) -> None:
    stage = make_stage([cast.call, cast.answer])
    letter = failed_call(stage)
    with pytest.raises(CodeChangedError, match=r"does not fit cast\.called: .*n") as refused:
        replayed(stage, [letter], Again("ana", event=b'{"n": "many-secrets"}'))
    assert "many-secrets" not in str(refused.value)
    assert opened(stage) == [letter] and diary == []


def test_a_message_that_could_not_be_read_is_replayed_with_an_edited_body(make_stage: MakeStage) -> None:
    stage = make_stage([cast.answer])
    headers = {"specversion": "1.0", "id": "1", "source": "s", "type": "cast.answered"}
    message = WireMessage(
        "cast.answered", b'{"n": "x"}', {f"cloudEvents_{name}": value for name, value in headers.items()}
    )
    stage.transport.publish([message]).result(5)
    stage.drain()
    [letter] = opened(stage, Filter(reason="invalid payload"))
    assert replayed(stage, [letter], Again("ana", event=b'{"n": 5}')) == [letter]
    assert diary == ["answered 5"]
    with stage.database.once("test") as connection:
        assert get_letter(connection, letter).body == b'{"n": "x"}'


def test_what_dies_again_is_a_new_letter_that_can_be_replayed(make_stage: MakeStage) -> None:
    stage = make_stage([cast.call, cast.answer])
    first = failed_call(stage)
    trouble["perform 1"] = 3
    assert replayed(stage, [first]) == [first]
    [second] = opened(stage)
    assert second != first
    assert replayed(stage, [first, second]) == [second]
    assert diary[-1] == "answered 1" and opened(stage) == []
    assert stage.rows("select rerun, status from run where actor = 'cast.call'") == [(2, "completed")]


def test_a_discarded_letter_is_not_replayed_and_says_who_did_it(make_stage: MakeStage) -> None:
    stage = make_stage([cast.call, cast.answer])
    letter = failed_call(stage)
    with stage.database.once("test") as connection:
        assert discard(connection, [letter], "ben") == [letter]
        assert replay(connection, [letter], ANA) == []
        [kept] = list_letters(connection, settled=True)
    assert (kept.settled_as, kept.settled_by) == ("discarded", "ben")


def test_a_replay_goes_on_from_a_step_of_ones_choice(make_stage: MakeStage) -> None:
    stage = make_stage([cast.call, cast.answer])
    letter = failed_call(stage)
    with pytest.raises(NotFoundError, match=r"no step 'prepar'.*prepare"):
        replayed(stage, [letter], Again("ana", from_step="prepar"))
    assert replayed(stage, [letter], Again("ana", from_step="prepare")) == [letter]
    assert diary == ["prepare 1", "perform 1", "answered 1"]


def test_a_completed_run_is_run_again_and_publishes_new_events(make_stage: MakeStage) -> None:
    stage = make_stage([cast.call, cast.answer])
    stage.publish(CastCalled(n=1))
    stage.drain()
    [(run,)] = stage.rows("select id from run where actor = 'cast.call'")
    diary.clear()
    with stage.database.once("test") as connection:
        rerun(connection, run, Again("ana", from_step="perform"))
        with pytest.raises(CallboardError, match="only a finished one"):
            rerun(connection, run, ANA)
    stage.drain()
    assert diary == ["perform 1", "answered 1"]
    assert stage.rows("select count(distinct event_id) from run where actor = 'cast.answer'") == [(2,)]
    diary.clear()
    with stage.database.once("test") as connection:
        rerun(connection, run, Again("ana", steps=False))
        with pytest.raises(NotFoundError, match="no run"):
            rerun(connection, UUID(int=1), ANA)
    stage.drain()
    assert diary == ["prepare 1", "perform 1", "answered 1"]


def test_a_failed_run_that_is_run_again_settles_its_letter(make_stage: MakeStage) -> None:
    stage = make_stage([cast.call, cast.answer])
    letter = failed_call(stage)
    [(run,)] = stage.rows("select id from run where actor = 'cast.call'")
    with stage.database.once("test") as connection:
        rerun(connection, run, ANA)
        assert replay(connection, [letter], Again("ben")) == []
        assert get_letter(connection, letter).settled_by == "ana"
    stage.drain()
    assert diary == ["perform 1", "answered 1"]


def test_an_unheard_event_is_replayed_through_the_exchange(make_stage: MakeStage) -> None:
    stage = make_stage([cast.call, cast.answer])
    stage.publish(cast.CastUnheard(n=1))
    stage.drain()
    [letter] = opened(stage, Filter(unheard=True))
    assert opened(stage) == []
    assert replayed(stage, [letter]) == [letter]
    [again] = opened(stage, Filter(reason="unheard"))
    assert again != letter
    assert CastAnswered.event_type not in diary
