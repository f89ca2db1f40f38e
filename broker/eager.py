"""A connection that sends without asking whether it may.

psycopg polls the socket before each statement of a pipeline, and gives up Python's lock to do so; under load it has it back
half a millisecond later: a batch of eight statements waited longer for that than for PostgreSQL. A socket takes a batch as good
as always, so the question is answered here; when it is full after all, psycopg's own wait flushes the rest before it reads.
"""

from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.rows import TupleRow
from psycopg.waiting import Ready, Wait

Value = TypeVar("Value")

ANSWERS = 2
"""How often one statement asks: before it is queued and before it is flushed. A third time is a full socket."""


class EagerConnection(psycopg.Connection[TupleRow]):
    """In everything else a psycopg connection."""

    def wait(self, gen: PQGen[Value], *args: Any, **options: Any) -> Value:
        return super().wait(_answered(gen), *args, **options)


def _answered(asking: PQGen[Value]) -> Generator[Any, Any, Value]:
    answer: Any = None
    left = ANSWERS
    while True:
        try:
            wanted = asking.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        if wanted == Wait.RW and left:
            answer, left = Ready.W, left - 1
        else:
            answer = yield wanted
