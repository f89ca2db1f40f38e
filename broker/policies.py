"""Policies as an author writes them: values with their limits checked where they are declared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from broker.backoff import DEFAULT, Backoff
from broker.errors import ConfigurationError
from broker.gathering import Batch, Debounce, Gathering
from broker.keys import Key, key_function, raw, raw_function
from broker.matching import Match
from schemas import Event

MOST_STARTS = 10_000
"""Of a rate limit: the starts of a key are kept in one row, and a longer one is rewritten at a cost that is felt."""


@dataclass(frozen=True, slots=True)
class Throttle:
    """At most `limit` starts per `per` and key; the excess waits, in order. `burst` starts may come at once.

    A start rate, not a number at once: ten starts a minute can be ten runs at once, or a hundred.
    """

    limit: int
    per: timedelta
    burst: int = 1
    key: Key | None = None

    def __post_init__(self) -> None:
        if self.limit < 1 or self.burst < 1 or self.per <= timedelta(0):
            raise ConfigurationError(
                f"Throttle({self.limit}, per={self.per}, burst={self.burst}): all must be positive"
            )

    @property
    def interval(self) -> timedelta:
        """The time between two starts at the full rate."""
        return self.per / self.limit

    def key_of(self, heard: tuple[type[Event], ...]) -> Callable[[Event], str]:
        return key_function(self.key, heard)


@dataclass(frozen=True, slots=True)
class Idempotency:
    """One run per key for `ttl` from the claim, and at least until that run ends. The excess is skipped as a duplicate.

    The key is free again if its run becomes a dead letter, unless `keep`.
    """

    key: Key
    ttl: timedelta = timedelta(days=1)
    keep: bool = False

    def __post_init__(self) -> None:
        if self.ttl <= timedelta(0):
            raise ConfigurationError(f"Idempotency(ttl={self.ttl}): must be positive")

    def key_of(self, heard: tuple[type[Event], ...]) -> Callable[[Event], str]:
        return key_function(self.key, heard)


@dataclass(frozen=True, slots=True)
class Concurrency:
    """At most `limit` runs at once per key, over all processes and machines. The excess waits, first in first out.

    `scope` says who shares the limit: the `actor`, its `pipeline`, or all actors that name the same scope. A run holds its slot
    while it runs, not while it sleeps or waits for a retry; with `ordered` (and a limit of 1) it keeps it while it retries, so
    that the runs of a key go one after the other in the order of their claims.
    """

    limit: int
    key: Key | None = None
    scope: Literal["actor", "pipeline"] | str = "actor"
    ordered: bool = False

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ConfigurationError(f"Concurrency({self.limit}): must be positive")
        if self.ordered and self.limit != 1:
            raise ConfigurationError(
                f"Concurrency({self.limit}, ordered=True): only one at once can be in order"
            )
        if not self.scope:
            raise ConfigurationError("Concurrency(scope=''): say 'actor', 'pipeline', or a name of your own")

    def key_of(self, heard: tuple[type[Event], ...]) -> Callable[[Event], str]:
        return key_function(self.key, heard)

    def scope_of(self, actor: str, pipeline: str | None) -> str:
        """Who shares the slots, as one text. A run in no pipeline shares those of its actor."""
        if self.scope == "pipeline" and pipeline is not None:
            return f"pipeline:{pipeline}"
        return f"actor:{actor}" if self.scope in ("actor", "pipeline") else f"shared:{self.scope}"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `limit` starts in any `per` and key. The excess is skipped as `rate limited`: use Throttle to let it wait."""

    limit: int
    per: timedelta
    key: Key | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MOST_STARTS or self.per <= timedelta(0):
            raise ConfigurationError(
                f"RateLimit({self.limit}, per={self.per}): the limit must be 1 to {MOST_STARTS}, the period positive"
            )

    def key_of(self, heard: tuple[type[Event], ...]) -> Callable[[Event], str]:
        return key_function(self.key, heard)


@dataclass(frozen=True, slots=True)
class Singleton:
    """One live run per key. With `skip` the next one is skipped; with `cancel` the older one is cancelled for it."""

    key: Key | None = None
    mode: Literal["skip", "cancel"] = "skip"

    def __post_init__(self) -> None:
        if self.mode not in ("skip", "cancel"):
            raise ConfigurationError(f"Singleton(mode={self.mode!r}): say 'skip' or 'cancel'")

    def key_of(self, heard: tuple[type[Event], ...]) -> Callable[[Event], str]:
        return key_function(self.key, heard)


@dataclass(frozen=True, slots=True)
class CancelOn:
    """An event that cancels the run, if it comes while the run is live.

    `match` as in `wait_for`: a field that both events have, a pair (ours, its), the values that its fields must have, or None for
    any event of the type.
    """

    event: type[Event]
    match: Match = None

    def check(self, actor: str, heard: tuple[type[Event], ...]) -> None:
        """Raises ConfigurationError for an event that nothing can come as, and for a path that leads nowhere."""
        if getattr(self.event, "event_type", None) is None:
            raise ConfigurationError(
                f"actor {actor}: cancel_on {self.event.__name__}, which declares no type=…, so nothing can come as it"
            )
        if isinstance(self.match, Mapping):
            theirs: Sequence[str] = [*self.match]
        elif self.match is not None:
            ours, its = (self.match, self.match) if isinstance(self.match, str) else self.match
            raw(ours, *heard)
            theirs = [its]
        else:
            theirs = []
        for path in theirs:
            raw(path, self.event)


@dataclass(frozen=True, slots=True)
class Policies:
    """What an author asked for; each is read by the middleware of the same name.

    A package may set its own defaults: `defaults = Policies(time_limit=…)` in its `actors/__init__.py`. What an actor says itself
    goes before them.
    """

    retry: Backoff = DEFAULT
    time_limit: timedelta | None = None
    deadline: timedelta | None = None
    max_age: timedelta | None = None
    throttle: Throttle | None = None
    rate_limit: RateLimit | None = None
    concurrency: Concurrency | None = None
    singleton: Singleton | None = None
    priority: Key | None = None
    idempotency: Idempotency | None = None
    debounce: Debounce | None = None
    batch: Batch | None = None
    cancel_on: CancelOn | Sequence[CancelOn] | None = None
    options: Mapping[str, object] = field(default_factory=dict[str, object])
    """Options of middleware that an application added itself."""

    @property
    def cancelled_by(self) -> tuple[CancelOn, ...]:
        """`cancel_on`, however many were given."""
        if isinstance(self.cancel_on, CancelOn):
            return (self.cancel_on,)
        return tuple(self.cancel_on or ())

    @property
    def gathering(self) -> Gathering | None:
        """`debounce` or `batch`: what makes one run of many events."""
        return self.debounce or self.batch

    def check(self, actor: str, heard: tuple[type[Event], ...]) -> None:
        """Raises ConfigurationError for a key path that one of the events does not have, for a limit that is not positive,
        and for policies that do not go together."""
        keyed = (
            self.throttle,
            self.rate_limit,
            self.concurrency,
            self.singleton,
            self.idempotency,
            self.gathering,
        )
        for policy in keyed:
            if policy is not None:
                policy.key_of(heard)
        self._check_gathering(actor)
        for each in self.cancelled_by:
            each.check(actor, heard)
        if self.priority is not None:
            raw(self.priority, *heard)
            if self.concurrency is None:
                raise ConfigurationError(
                    f"actor {actor}: priority decides who goes first among the waiting of a concurrency limit; give it one"
                )
        for name in ("time_limit", "deadline", "max_age"):
            limit: timedelta | None = getattr(self, name)
            if limit is not None and limit <= timedelta(0):
                raise ConfigurationError(f"actor {actor}: {name} must be positive")

    def _check_gathering(self, actor: str) -> None:
        policy = self.gathering
        if policy is None:
            return
        if self.debounce is not None and self.batch is not None:
            problem = "debounce and batch both gather events: give it one of them"
        elif self.singleton is not None:
            problem = f"a {policy.word} has one run a key already, and singleton would skip what is to be folded into it"
        elif self.deadline is not None and policy.longest is not None and self.deadline <= policy.longest:
            problem = f"its deadline would end while it gathers, which may take {policy.longest}"
        elif any(each.match != policy.key or policy.key is None for each in self.cancelled_by):
            problem = f"cancel_on stops a run of many events: match by the key of its {policy.word}"
        else:
            return
        raise ConfigurationError(f"actor {actor}: {problem}")

    def priority_of(self, event: Event, heard: tuple[type[Event], ...]) -> int:
        """Higher goes first; 0 without a priority. Raises TypeError for a value that is no whole number."""
        value = 0 if self.priority is None else raw_function(self.priority, heard)(event)
        if not isinstance(value, int):
            raise TypeError(f"a priority must be a whole number, not {type(value).__name__}")
        return max(-LOWEST, min(LOWEST, value))


LOWEST = 2**31 - 1
"""A priority is an integer of PostgreSQL's; what is beyond its range goes first, or last, all the same."""
