"""What is made of the figures: ratios of neighbours, medians of quiet rounds, a table, JSON and a picture."""

import io
import json
import xml.etree.ElementTree as ET

from rich.console import Console

from ops.bench import picture, report
from ops.bench.figures import Outcome
from ops.bench.machine import Limits
from ops.bench.programme import Comparison, Pair, Results, Waits, most_at_once, percentile, sides

LIMITS = Limits(40_000.0, 6_000.0, 15_000.0)


def pair(ours: float, plain: float, *, quiet: bool = True) -> Pair:
    """Of a hundred events that took so many seconds."""
    return Pair(Outcome(100, drain=ours), Outcome(100, drain=plain), quiet)


def comparison(*pairs: Pair) -> Comparison:
    return Comparison("chain", {"ours": 8, "plain": 4}, pairs)


def test_a_ratio_is_that_of_neighbours_and_the_median_of_rounds_counts() -> None:
    found = comparison(pair(1.0, 2.0), pair(2.0, 6.0), pair(1.0, 10.0))

    assert found.ratios == [2.0, 3.0, 10.0]
    assert found.ratio == 3.0


def test_noisy_rounds_do_not_count_while_there_are_quiet_ones() -> None:
    noisy = pair(1.0, 9.0, quiet=False)

    assert comparison(pair(1.0, 2.0), noisy).ratio == 2.0
    assert comparison(noisy).ratio == 9.0


def test_sides_take_turns_in_going_first() -> None:
    assert [sides(turn)[0] for turn in range(4)] == ["ours", "plain", "ours", "plain"]


def test_a_percentile_is_a_value_that_was_there() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0


def test_waits_overlap_until_one_has_lasted() -> None:
    assert most_at_once([0.0, 0.1, 0.2, 1.05, 5.0]) == 3
    assert most_at_once([]) == 0


def test_the_table_tells_ratio_cost_and_waits() -> None:
    waits = Waits("latency", {"ours": Outcome(2, told=(1.0, 2.0)), "plain": Outcome(2)})
    out = Console(file=io.StringIO(), width=160)

    report.show(out, Results([comparison(pair(1.0, 2.5))], [waits]), LIMITS)

    told = out.file.getvalue()  # type: ignore[attr-defined]
    assert "2.50 ×" in told  # noqa: RUF001  the sign
    assert "p50 2.0 ms, p99 2.0 ms, of 2" in told
    assert "nothing came" in told
    assert "40,000 confirmed publishes/s" in told


def test_the_json_holds_every_round() -> None:
    made = json.loads(
        json.dumps(report.to_json(Results([comparison(pair(1.0, 2.0), pair(1.0, 3.0))]), LIMITS))
    )

    [chain] = made["comparisons"]
    assert chain["ratios"] == [2.0, 3.0]
    assert [one["plain"]["drain"] for one in chain["pairs"]] == [2.0, 3.0]
    assert made["packages"]["dramatiq"] == "2.2.1"


def test_the_picture_has_a_bar_for_each_scenario() -> None:
    root = ET.fromstring(picture.draw([comparison(pair(1.0, 2.0)), comparison(pair(1.0, 4.0))]))  # noqa: S314  our own

    bars = root.findall("{http://www.w3.org/2000/svg}rect")
    assert [float(bar.attrib["width"]) for bar in bars] == [210.0, 420.0]
