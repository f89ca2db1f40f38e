"""The pulse: when work flowed again, and whether memory stayed flat."""

from datetime import timedelta

import pytest

from ops.chaos.pulse import LONG_ENOUGH, Bar, Pulse

AT_ALL = Bar(0, timedelta(seconds=5))
MOST = Bar(0.8, timedelta(seconds=10))
RATE = 100.0


def beating(done: dict[int, int], *outages: tuple[float, float]) -> Pulse:
    return Pulse(beats=[(float(at), count) for at, count in done.items()], outages=list(outages))


def test_work_flows_again_with_the_first_effects_after_an_outage() -> None:
    pulse = beating({0: 0, 1: 100, 5: 100, 6: 100, 7: 110, 8: 300}, (2, 5))

    assert pulse.recoveries(AT_ALL, RATE) == [2]


def test_most_of_the_rate_is_asked_for_within_a_window_after_the_outage() -> None:
    pulse = beating({0: 0, 1: 100, 5: 100, 6: 110, 7: 150, 8: 240}, (2, 5))

    assert pulse.recoveries(MOST, RATE) == [3]


def test_work_that_does_not_come_back_is_counted_until_the_end() -> None:
    pulse = beating({0: 0, 5: 100, 6: 100, 20: 100}, (2, 5))

    assert pulse.recoveries(MOST, RATE) == [15]


def test_an_outage_that_the_next_one_cuts_short_is_not_counted() -> None:
    pulse = beating({0: 0, 5: 100, 6: 100, 10: 100, 11: 200}, (2, 5), (7, 10))

    assert pulse.recoveries(MOST, RATE) == [1]


def test_a_row_without_an_outage_has_nothing_to_recover_from() -> None:
    assert beating({0: 0, 1: 100}).recoveries(MOST, RATE) == []


def test_memory_is_judged_by_the_worst_process_that_lived_all_the_time() -> None:
    end = LONG_ENOUGH.total_seconds()
    times = [end * quarter / 4 for quarter in range(5)]
    pulse = beating({int(at): 0 for at in times})
    pulse.memory.update(
        {
            1: [(at, 100) for at in times],
            2: [(at, size) for at, size in zip(times, [100, 100, 105, 110, 110], strict=True)],
            3: [(times[-1], 900)],
        }
    )

    assert pulse.growth() == pytest.approx(1.1)


def test_a_process_that_boots_while_the_row_begins_has_not_grown() -> None:
    end = int(LONG_ENOUGH.total_seconds())
    pulse = beating({0: 0, end: 0})
    pulse.memory[1] = [(float(at), 10 if at < 20 else 70) for at in range(end)]

    assert pulse.growth() == 1


def test_a_short_row_says_nothing_about_memory() -> None:
    assert beating({0: 0, 60: 100}).growth() is None
