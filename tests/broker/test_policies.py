"""Policies as an author writes them: what is refused where it is declared, and an app's defaults."""

from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest

from broker import (
    Actor,
    CancelOn,
    Concurrency,
    ConfigurationError,
    Policies,
    RateLimit,
    Run,
    Singleton,
    Throttle,
    actor,
)
from ops.boot import _defaults_in  # pyright: ignore[reportPrivateUsage]
from ops.cli.check import policies_of
from schemas import Event

MINUTE = timedelta(minutes=1)


class PolicyTried(Event, type="policy.tried"):
    user_id: str
    rank: int = 0
    weight: float = 0.5


@actor(time_limit=MINUTE)
def limited(event: PolicyTried, run: Run) -> None:
    """Says its own time limit, and nothing else."""


def declared(**options: Any) -> Actor[Any, Any]:
    @actor(**options)
    def tried(event: PolicyTried, run: Run) -> None:
        """Never called."""

    return tried


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Concurrency(0), "must be positive"),
        (lambda: Concurrency(2, ordered=True), "only one at once can be in order"),
        (lambda: Concurrency(1, scope=""), "say 'actor', 'pipeline', or a name of your own"),
        (lambda: RateLimit(0, per=MINUTE), "must be 1 to 10000"),
        (lambda: RateLimit(5, per=timedelta(0)), "the period positive"),
        (lambda: Singleton("user_id", mode="drop"), "say 'skip' or 'cancel'"),  # type: ignore[arg-type]
        (lambda: declared(concurrency=Concurrency(1, key="user")), "Did you mean 'user_id'"),
        (lambda: declared(singleton=Singleton("nobody")), "has no field 'nobody'"),
        (lambda: declared(priority="rank"), "give it one"),
        (lambda: declared(priority="rang", concurrency=Concurrency(1)), "Did you mean 'rank'"),
        (lambda: declared(cancel_on=CancelOn(PolicyTried, match="user")), "Did you mean 'user_id'"),
        (lambda: declared(cancel_on=[CancelOn(Event)]), "cancel_on Event, which declares no type"),
        (lambda: declared(cancel_on=CancelOn(PolicyTried, match={"rang": 1})), "Did you mean 'rank'"),
        (lambda: declared(max_age=timedelta(0)), "max_age must be positive"),
        (lambda: declared(deadline=-MINUTE), "deadline must be positive"),
        (lambda: declared(concurency=Concurrency(1)), "did you mean 'concurrency'"),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_is_written(make: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make()


def test_a_priority_is_a_whole_number() -> None:
    event = PolicyTried(user_id="u", rank=7)
    heard = (PolicyTried,)
    assert Policies(priority="rank").priority_of(event, heard) == 7
    assert Policies().priority_of(event, heard) == 0
    assert Policies(priority=lambda _: 10**30).priority_of(event, heard) == 2**31 - 1
    with pytest.raises(TypeError, match="whole number, not float"):
        Policies(priority="weight").priority_of(event, heard)


def test_a_scope_says_who_shares_a_limit() -> None:
    assert Concurrency(1).scope_of("orders.generate", "songs") == "actor:orders.generate"
    assert Concurrency(1, scope="pipeline").scope_of("orders.generate", "songs") == "pipeline:songs"
    assert Concurrency(1, scope="pipeline").scope_of("orders.generate", None) == "actor:orders.generate"
    assert Concurrency(1, scope="gpu").scope_of("orders.generate", "songs") == "shared:gpu"


def test_an_app_sets_defaults_and_an_actor_goes_before_them() -> None:
    defaults = Policies(time_limit=timedelta(hours=1), throttle=Throttle(5, per=MINUTE, key="user_id"))
    limited.with_defaults(defaults)
    assert limited.policies.time_limit == MINUTE
    assert limited.policies.throttle == defaults.throttle
    with pytest.raises(ConfigurationError, match="has no field 'order_id'"):
        limited.with_defaults(Policies(throttle=Throttle(5, per=MINUTE, key="order_id")))


def test_defaults_stand_in_the_room_of_an_apps_actors() -> None:
    room = ModuleType("acme.actors")
    room.defaults = Policies(time_limit=MINUTE)  # type: ignore[attr-defined]
    assert _defaults_in(room, "acme.actors") == Policies(time_limit=MINUTE)
    assert _defaults_in(ModuleType("acme.actors.orders"), "acme.actors") is None
    room.defaults = {"time_limit": MINUTE}  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match="must be Policies"):
        _defaults_in(room, "acme.actors")


def test_check_tells_each_policy_in_words() -> None:
    made = declared(
        deadline=timedelta(hours=1),
        max_age=MINUTE,
        rate_limit=RateLimit(3, per=MINUTE),
        concurrency=Concurrency(1, key="user_id", scope="gpu", ordered=True),
        priority="rank",
        singleton=Singleton("user_id", mode="cancel"),
    )
    told = policies_of(made)
    assert "no older than" in told and "in all" in told
    assert "the rest skipped" in told and "1 at once by user_id, in order of the gpu" in told
    assert "highest rank first" in told and "one live by user_id, cancels the older" in told
