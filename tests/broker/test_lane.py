"""Which delivery may be claimed next: one ahead per slot, and further ahead only of what leaves within milliseconds."""

from broker.lane import MOST_AHEAD, Lane
from broker.transports.base import Delivery


class Lost(Delivery):
    @property
    def alive(self) -> bool:
        return False


def delivery_of(queue: str, kind: type[Delivery] = Delivery) -> Delivery:
    return kind(queue, b"{}", {}, "application/json")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def full(clock: Clock, queue: str = "quick", *, ahead: bool = True) -> Lane:
    """Two slots' room, all of it taken, and a long backlog."""
    lane = Lane(2, ahead=ahead, clock=clock)
    lane.waiting.extend(delivery_of(queue) for _ in range(500))
    assert len(taken(lane)) == 2
    return lane


def taken(lane: Lane) -> list[Delivery]:
    found: list[Delivery] = []
    while (delivery := lane.take()) is not None:
        found.append(delivery)
    return found


def flow(
    lane: Lane, clock: Clock, *, every: float, lasted: float, times: int = 200, queue: str = "quick"
) -> None:
    """Runs leave one after another, and each makes way for the next."""
    for _ in range(times):
        clock.now += every
        lane.leave(queue, lasted)
        lane.take()


def test_without_a_known_pace_there_is_one_for_each_slot() -> None:
    assert taken(full(Clock())) == []


def test_a_run_that_leaves_makes_room_for_one() -> None:
    clock = Clock()
    lane = full(clock)

    clock.now += 1
    lane.leave("quick", 0.5)

    assert len(taken(lane)) == 1


def test_a_claim_without_a_run_gives_its_room_back() -> None:
    lane = full(Clock())

    lane.give_back()

    assert len(taken(lane)) == 1


def test_what_leaves_every_half_millisecond_is_claimed_ten_milliseconds_ahead() -> None:
    clock = Clock()
    lane = full(clock)

    flow(lane, clock, every=0.0005, lasted=0.0004)
    clock.now += 0.0005
    lane.leave("quick", 0.0004)

    assert 15 <= len(taken(lane)) <= 25


def test_never_more_than_the_most() -> None:
    clock = Clock()
    lane = full(clock)

    flow(lane, clock, every=0.000001, lasted=0.000001)

    assert len(taken(lane)) <= MOST_AHEAD + 1


def test_a_slow_actor_gets_nothing_ahead_however_quick_the_others_are() -> None:
    clock = Clock()
    lane = full(clock, "slow")
    lane.leave("slow", 60.0)
    lane.take()

    flow(lane, clock, every=0.0005, lasted=0.0004, times=1)

    assert taken(lane) == []


def test_while_nothing_leaves_nothing_is_claimed_ahead() -> None:
    clock = Clock()
    lane = full(clock)
    flow(lane, clock, every=0.0005, lasted=0.0004)

    clock.now += 0.02

    assert taken(lane) == []


def test_a_lane_that_may_not_look_ahead_does_not() -> None:
    clock = Clock()
    lane = full(clock, ahead=False)

    flow(lane, clock, every=0.0005, lasted=0.0004)

    assert taken(lane) == []


def test_a_delivery_of_a_lost_connection_takes_no_room() -> None:
    lane = Lane(1)
    lane.waiting.extend([delivery_of("quick", Lost), delivery_of("quick")])

    assert len(taken(lane)) == 1
