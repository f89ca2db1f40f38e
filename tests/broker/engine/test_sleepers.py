"""A hundred thousand sleeping runs are rows: they hold up nobody who is due."""

from collections.abc import Callable

import pytest

from broker.testing import Stage
from tests.support import cast
from tests.support.cast import diary, trouble
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

SLEEPERS = 100_000
_SLEEP = """
insert into run (id, event_id, event_source, actor, event_type, event_version, event_time, event, digest, correlation_id, claim,
                 created_at, status, attempt, fence, wake, due_at)
select gen_random_uuid(), 'sleeper ' || n, 'test', 'cast.doze', 'cast.slept', 1, clock(), '{"days": 1}', '', 'sleepers',
       gen_random_uuid(), clock(), 'waiting', 1, 1, gen_random_uuid(), clock() + interval '1 hour'
from generate_series(1, %s) as n"""


@pytest.fixture(autouse=True)
def clean_diary() -> None:
    cast.forget()


def test_a_retry_of_a_second_fires_beside_a_hundred_thousand_sleepers(
    make_stage: Callable[..., Stage],
) -> None:
    """Plain dramatiq holds delays unacked in its workers: with a prefetch full of hours this retry had not fired after 20 s."""
    stage = make_stage([cast.doze, cast.flake, cast.hear_failure])
    stage.rows(_SLEEP, (SLEEPERS,))
    trouble["soon"] = 1

    stage.publish(cast.CastFlaky(n=1))

    eventually(lambda: diary == ["attempt 1", "attempt 2"], 10)
    asleep = "select count(*) from run where status = 'waiting' and sends = 0"
    assert stage.rows(asleep) == [(SLEEPERS,)]
