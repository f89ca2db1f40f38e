"""Which trials make a run: rows on their transports, crash points by seed, red proofs."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace

from broker import ConfigurationError
from broker.wiring import nearest
from ops.chaos.programme import Trial
from ops.chaos.rows import ROWS, Row, Size, Transport
from ops.chaos.seams import RABBIT_ONLY

POINTS_IN_SHORT = 2
"""A transport; by seed, so that runs with other seeds try others. tests/broker/engine tries all of them, once."""


def rows_named(names: Sequence[str], *, short: bool = False) -> Sequence[Row]:
    """Without a name all of them; in a short run those that do not stand apart.

    Raises ConfigurationError for a name that there is not.
    """
    known = {row.name: row for row in ROWS}
    for name in names:
        if name not in known:
            raise ConfigurationError(
                f"no row is named {name!r}{nearest(name, known)}; there are {', '.join(known)}"
            )
    if names:
        return [row for row in ROWS if row.name in names]
    return [row for row in ROWS if not (short and row.apart)]


def trials(
    rows: Iterable[Row], *, seed: int, short: bool, events: int | None, each_transport: bool = False
) -> list[Trial]:
    """`each_transport` tries in a short run, too, on both what concerns either alike."""
    found: list[Trial] = []
    for row in rows:
        size = row.short if short else row.full
        if events is not None:
            size = Size(events, size.rate)
        chosen = _transports(row, seed) if short and not each_transport else row.transports
        for transport in chosen:
            plain = Trial(row, transport, seed, size, short)
            if row.crash_points:
                found += [replace(plain, point=point) for point in _points(row, transport, seed, short)]
            else:
                found.append(plain)
    return found


def red_proofs(rows: Iterable[Row], *, seed: int) -> list[Trial]:
    """The short form of each row that relies on a guard, with that guard taken away: it must break an invariant."""
    return [
        Trial(
            row,
            row.guarded_by,
            seed,
            row.short,
            short=True,
            point="before claim commit" if row.crash_points else "",
            guard=row.guard,
        )
        for row in rows
        if row.guard
    ]


def _transports(row: Row, seed: int) -> tuple[Transport, ...]:
    """Of a short run. By seed and name, so that one run has rows of both."""
    return (random.Random(f"{seed} {row.name}").choice(row.transports),) if row.either else row.transports  # noqa: S311


def _points(row: Row, transport: Transport, seed: int, short: bool) -> list[str]:
    points = [point for point in row.crash_points if transport == "rabbitmq" or point not in RABBIT_ONLY]
    if not short:
        return points
    return random.Random(f"{seed} {transport}").sample(points, POINTS_IN_SHORT)  # noqa: S311
