"""Writers of one transaction that share their round trips.

A writer is a generator: it sends statements, yields where it needs the answers, and reads them when it goes on. Run together,
all of a turn's statements travel to the server at once, and all their answers come back at once: a batch with claims, steps,
effects and ends takes three round trips instead of a dozen. Each would cost the journal's thread a wait for Python's lock too.
"""

from collections.abc import Generator, Sequence
from typing import Any, TypeVar

Result = TypeVar("Result")
Writing = Generator[None, None, Result]
"""What a writer's call returns; nothing is sent before it is run."""


def run_together(writings: Sequence[Writing[Any]]) -> list[Any]:
    """What each returned, in their order, which is also the order of their statements within a turn. Raises what they raise; in a
    pipeline the error of an earlier statement is raised by the next read of any of them."""
    results: list[Any] = [None] * len(writings)
    going = list(enumerate(writings))
    while going:
        going = [(place, writing) for place, writing in going if _goes_on(place, writing, results)]
    return results


def run_alone(writing: Writing[Result]) -> Result:
    """One writer, turn by turn; for connections that are in no pipeline."""
    return run_together([writing])[0]  # type: ignore[no-any-return]


def _goes_on(place: int, writing: Writing[Any], results: list[Any]) -> bool:
    try:
        next(writing)
    except StopIteration as end:
        results[place] = end.value
        return False
    return True
