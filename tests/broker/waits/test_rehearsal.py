"""An author tries an actor that waits without a server: the events and results are given."""

from broker import InvokeFailed
from broker.testing import rehearse
from tests.support import wait_cast
from tests.support.wait_cast import Answer, WaitCancelled, WaitListed, WaitOrdered, WaitPaid, diary

ORDER = WaitOrdered(order_id="a")


def test_a_wait_finds_the_event_that_matches() -> None:
    done = rehearse(wait_cast.ship, ORDER, heard=[WaitPaid(order_id="b"), WaitPaid(order_id="a", cents=5)])
    assert done.suspended is None and diary == ["reserved a", "a 5"]


def test_without_an_event_it_stays_suspended_until_time_passes() -> None:
    assert rehearse(wait_cast.ship, ORDER).suspended is not None
    assert rehearse(wait_cast.ship, ORDER, time_passes=True).suspended is None
    assert diary[-1] == "a expired"


def test_the_first_of_several_wins_and_a_second_wait_has_the_next() -> None:
    rehearse(wait_cast.decide, ORDER, heard=[WaitCancelled(id="a"), WaitPaid(order_id="a")], time_passes=True)
    rehearse(
        wait_cast.collect, ORDER, heard=[WaitPaid(order_id="a", cents=1), WaitPaid(order_id="a", cents=2)]
    )
    assert diary == ["wait.cancelled", "wait.cancelled", "slept", "1 then 2"]


def test_parallel_branches_of_a_coroutine_are_answered() -> None:
    paid = WaitPaid(order_id="a", cents=1)
    done = rehearse(wait_cast.decide_async, ORDER, heard=[paid], time_passes=True)
    assert done.suspended is None and diary == ["1 kept"]


def test_invoked_actors_give_what_the_test_says() -> None:
    event = WaitListed(numbers=[2, 7])
    failed = rehearse(wait_cast.ask, event, results={wait_cast.square: InvokeFailed("square", "expired")})
    assert (
        failed.result == Answer(square=0).model_dump_json() and diary == ["expired no letter"] * 2 + diary[2:]
    )
    many = rehearse(wait_cast.fan_out, event, results={wait_cast.square: lambda e: Answer(square=e.n)})
    assert many.result == Answer(square=9).model_dump_json()
    grouped = rehearse(wait_cast.ask_async, event, results={wait_cast.square: Answer(square=3)})
    assert grouped.result == Answer(square=6).model_dump_json()
