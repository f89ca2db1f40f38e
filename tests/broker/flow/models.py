"""The options of flow control in plain Python. Time is minutes since the first event; `told` is what each run's row must say."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Protocol

from tests.support.model_cast import NAP_MINUTES, PAUSE_MINUTES, ModelAsked

HOUR = 60


class Model(Protocol):
    told: dict[str, str]

    def comes(self, event: ModelAsked, now: int) -> None: ...

    def passes(self, now: int) -> None: ...


@dataclass
class Rated:
    """At most two starts in any hour."""

    told: dict[str, str] = field(default_factory=dict[str, str])
    starts: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def comes(self, event: ModelAsked, now: int) -> None:
        recent = [start for start in self.starts[event.key] if start > now - HOUR]
        self.told[event.name] = "completed" if len(recent) < 2 else "skipped"
        if len(recent) < 2:
            self.starts[event.key].append(now)

    def passes(self, now: int) -> None:
        pass


@dataclass
class Paced:
    """A bucket of two starts, filled by one an hour; the excess stands in line."""

    told: dict[str, str] = field(default_factory=dict[str, str])
    full_at: dict[str, int] = field(default_factory=dict[str, int])
    """When the bucket of a key is full again; two hours later at the most if it is to give a start."""
    due: dict[str, int] = field(default_factory=dict[str, int])

    def comes(self, event: ModelAsked, now: int) -> None:
        full = max(self.full_at.get(event.key, 0), now)
        self.due[event.name] = max(now, full - HOUR)
        self.full_at[event.key] = full + HOUR
        self.told[event.name] = "waiting"
        self.passes(now)

    def passes(self, now: int) -> None:
        for name, due in self.due.items():
            if due <= now:
                self.told[name] = "completed"


@dataclass
class Once:
    """One run a key and hour; one that fails gives the key back."""

    told: dict[str, str] = field(default_factory=dict[str, str])
    held_until: dict[str, int] = field(default_factory=dict[str, int])

    def comes(self, event: ModelAsked, now: int) -> None:
        if now < self.held_until.get(event.key, 0):
            self.told[event.name] = "skipped"
        elif event.fails:
            self.told[event.name] = "failed"
        else:
            self.told[event.name] = "completed"
            self.held_until[event.key] = now + HOUR

    def passes(self, now: int) -> None:
        pass


@dataclass
class Napping:
    """Runs that sleep once and complete. `on_meeting` is what becomes of the older and of the newer one of a key."""

    on_meeting: tuple[str, str] | None = None
    told: dict[str, str] = field(default_factory=dict[str, str])
    asleep: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])
    """Name → key, and when it wakes."""

    def comes(self, event: ModelAsked, now: int) -> None:
        older = [name for name, (key, _) in self.asleep.items() if key == event.key]
        if self.on_meeting is not None and older:
            self.told[older[0]], self.told[event.name] = self.on_meeting
            if self.on_meeting[0] != "waiting":
                del self.asleep[older[0]]
            if self.on_meeting[1] != "waiting":
                return
        self.told[event.name] = "waiting"
        self.asleep[event.name] = event.key, now + NAP_MINUTES

    def stops(self, key: str) -> None:
        for name in [name for name, (its, _) in self.asleep.items() if its == key]:
            self.told[name] = "cancelled"
            del self.asleep[name]

    def passes(self, now: int) -> None:
        for name in [name for name, (_, wakes) in self.asleep.items() if wakes <= now]:
            self.told[name] = "completed"
            del self.asleep[name]


@dataclass
class Aged:
    """What is an hour old when it is claimed is too old; what was let in sleeps as long as it likes."""

    told: dict[str, str] = field(default_factory=dict[str, str])
    asleep: dict[str, int] = field(default_factory=dict[str, int])

    def comes(self, event: ModelAsked, now: int) -> None:
        self.told[event.name] = "failed" if event.age > HOUR else "waiting"
        if event.age < HOUR:
            self.asleep[event.name] = now + NAP_MINUTES

    def passes(self, now: int) -> None:
        for name, wakes in self.asleep.items():
            if wakes <= now:
                self.told[name] = "completed"


@dataclass
class Bounded:
    """Sleeps after each other, at most an hour in all; one that ends is followed by the next when somebody looks."""

    told: dict[str, str] = field(default_factory=dict[str, str])
    asleep: dict[str, tuple[int, int, list[int]]] = field(
        default_factory=dict[str, tuple[int, int, list[int]]]
    )
    """Name → its deadline, when it wakes, the sleeps that are still to come."""

    def comes(self, event: ModelAsked, now: int) -> None:
        self.asleep[event.name] = now + HOUR, now, list(event.sleeps)
        self.passes(now)

    def passes(self, now: int) -> None:
        for name, (deadline, wakes, sleeps) in list(self.asleep.items()):
            self.told[name] = "waiting"
            if now < min(wakes, deadline):
                continue
            if now < deadline and sleeps:
                self.asleep[name] = deadline, now + sleeps[0], sleeps[1:]
                continue
            self.told[name] = "failed" if now >= deadline else "completed"
            del self.asleep[name]


@dataclass
class Ordered:
    """One line a key; who is first stays there while it retries."""

    told: dict[str, str] = field(default_factory=dict[str, str])
    lines: defaultdict[str, list[ModelAsked]] = field(default_factory=lambda: defaultdict(list))
    attempts: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    due: dict[str, int] = field(default_factory=dict[str, int])

    def comes(self, event: ModelAsked, now: int) -> None:
        self.lines[event.key].append(event)
        self.told[event.name] = "waiting"
        self.passes(now)

    def passes(self, now: int) -> None:
        for line in self.lines.values():
            while line and self.due.get(line[0].name, 0) <= now:
                first = line[0]
                self.attempts[first.name] += 1
                if first.fails < self.attempts[first.name]:
                    self.told[first.name] = "completed"
                elif self.attempts[first.name] == 3:
                    self.told[first.name] = "failed"
                else:
                    self.told[first.name] = "retrying"
                    self.due[first.name] = now + PAUSE_MINUTES
                    continue
                line.pop(0)


@dataclass
class Slots:
    """Two at once a key; a higher rank first, then who came first."""

    told: dict[str, str] = field(default_factory=dict[str, str])
    waiting: defaultdict[str, list[ModelAsked]] = field(default_factory=lambda: defaultdict(list))
    running: defaultdict[str, list[ModelAsked]] = field(default_factory=lambda: defaultdict(list))

    def comes(self, event: ModelAsked, now: int) -> None:
        self.waiting[event.key].append(event)
        self.told[event.name] = "waiting"
        self.passes(now)

    def ends(self, which: int) -> str | None:
        """One of those that run; its name."""
        bodies = [event for events in self.running.values() for event in events]
        if not bodies:
            return None
        event = bodies[which % len(bodies)]
        self.running[event.key].remove(event)
        self.told[event.name] = "completed"
        self.passes(0)
        return event.name

    def passes(self, now: int) -> None:
        for key, events in self.waiting.items():
            events.sort(key=lambda event: -event.rank)
            while events and len(self.running[key]) < 2:
                event = events.pop(0)
                self.running[key].append(event)
                self.told[event.name] = "running"
