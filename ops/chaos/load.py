"""The publisher of a row: paced, and it remembers which publishes returned and which raised."""

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from broker import Publisher, PublishError
from broker.codec import MAX_BYTES, encode
from broker.transports.base import Transport, WireMessage
from ops.chaos.trial import TrialAdrift, TrialBegun, TrialPoisoned, TrialSunk
from schemas import wrap

BEAT_SECONDS = 0.1
FAIL_EVERY = 7
"""Each so-many-th event's first attempt fails: retries are under way whatever else happens."""
LINGER_EVERY = 4
POISON_EVERY = 100
MAX_TIMES = 5


@dataclass
class Load:
    """Runs in a thread of its own; `acknowledged` and `unknown` grow while it does.

    `linger` is how long each fourth body takes, seconds. `repeats` publishes each id one to five times, in no order. `poison`
    slips one bad message in among a hundred good ones, `hanging` an event whose body never ends.
    """

    publisher: Publisher
    transport: Transport
    events: int
    rate: float
    chance: random.Random
    linger: float = 0.0
    repeats: bool = False
    poisoned: bool = False
    hanging: bool = False
    acknowledged: set[int] = field(default_factory=set[int])
    unknown: set[int] = field(default_factory=set[int])
    poison: Counter[str] = field(default_factory=Counter[str])
    extra: int = 0
    """Messages beyond one for each event: repeats, and bad ones."""
    errors: Counter[str] = field(default_factory=Counter[str])

    def run(self, stop: threading.Event) -> None:
        """Returns when everything is published, or when `stop` is set."""
        numbers = self._numbers()
        size = max(1, round(self.rate * BEAT_SECONDS))
        began = time.monotonic()
        for start in range(0, len(numbers), size):
            late = began + start / self.rate - time.monotonic()
            if stop.wait(max(0.0, late)):
                return
            self._publish(numbers[start : start + size])

    def _numbers(self) -> Sequence[int]:
        if not self.repeats:
            return range(self.events)
        copies = [n for n in range(self.events) for _ in range(self.chance.randint(1, MAX_TIMES))]
        self.chance.shuffle(copies)
        return copies

    def _publish(self, numbers: Sequence[int]) -> None:
        events = [self._event(n) for n in numbers]
        try:
            self.publisher.publish_many(events, ids=[_id(n) for n in numbers])
        except PublishError as error:
            self.unknown.update(numbers)
            self.errors[type(error).__name__] += 1
            return
        self.extra += len(numbers) - len(set(numbers) - self.acknowledged)
        self.acknowledged.update(numbers)
        for n in numbers:
            if n % POISON_EVERY == 0:
                if self.poisoned:
                    self._slip_in(n)
                if self.hanging:
                    self._hang(n)

    def _event(self, n: int) -> TrialBegun:
        lingers = self.linger if n % LINGER_EVERY == 0 else 0.0
        return TrialBegun(n=n, fail_first=n % FAIL_EVERY == 0, linger_seconds=lingers)

    def _hang(self, n: int) -> None:
        """By turns in C and in an await. Each has one attempt."""
        kind = TrialSunk if (n // POISON_EVERY) % 2 else TrialAdrift
        self.publisher.publish(kind(n=-n - 1), id=f"hang-{n}")
        self.poison["attempts used up"] += 1
        self.extra += 1

    def _slip_in(self, n: int) -> None:
        """One of six kinds, each with the reason it must be parked for."""
        unknown = "trial.unknown"
        good = encode(wrap(TrialBegun(n=-n - 1), source="chaos", id=f"poison-{n}"))
        kinds: Sequence[tuple[str, WireMessage]] = (
            ("undecodable", replace(good, headers={"cloudEvents_id": "x"})),
            ("invalid payload", replace(good, body=b'{"n": "no number"}')),
            ("too large", replace(good, body=b'{"n": "' + b"9" * MAX_BYTES + b'"}')),
            ("unknown version", replace(good, headers={**good.headers, "cloudEvents_schemaversion": "99"})),
            ("unknown type", replace(good, routing_key=unknown, headers={**good.headers, "cloudEvents_type": unknown})),
            ("crashed its worker", encode(wrap(TrialPoisoned(n=-n - 1), source="chaos", id=f"poison-{n}"))),
        )  # fmt: skip
        reason, message = kinds[(n // POISON_EVERY) % len(kinds)]
        self.transport.publish([message]).result(15)
        self.poison[reason] += 1
        self.extra += 1


def _id(n: int) -> str:
    return f"chaos-{n}"
