"""Who hears what: pipelines as checked values, and everything that can be wrong before the first event travels."""

import difflib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from broker.actor import Actor, Chain
from broker.errors import ConfigurationError
from schemas import Event, registered


class Pipeline:
    """A named chain: `Pipeline("page-scan", scan | analyze | notify)`. Making one checks its links.

    Raises ConfigurationError when an actor does not hear what the one before it publishes.
    """

    def __init__(self, name: str, chain: "Chain[Any, Any] | Actor[Any, Any]") -> None:
        self.name = name
        self.actors: tuple[Actor[Any, Any], ...] = chain.actors if isinstance(chain, Chain) else (chain,)
        for earlier, later in zip(self.actors, self.actors[1:], strict=False):
            if not set(earlier.publishes) & set(later.hears):
                raise ConfigurationError(
                    f"pipeline {name}: {later.name} hears {_types(later.hears)}, but {earlier.name} publishes "
                    f"{_types(earlier.publishes) or 'nothing'}. Return the right event, or add it to publishes=[…]."
                )

    def links(self) -> list[tuple[Actor[Any, Any], str, Actor[Any, Any]]]:
        """(earlier, event type, later) for each link."""
        pairs = zip(self.actors, self.actors[1:], strict=False)
        return [
            (earlier, kind.event_type, later)
            for earlier, later in pairs
            for kind in earlier.publishes
            if kind in later.hears
        ]

    def mermaid(self) -> str:
        """The pipeline as a Mermaid flowchart."""
        first = " / ".join(kind.event_type for kind in self.actors[0].hears)
        lines = ["flowchart LR", f'    start(["{first}"]) --> {_id(self.actors[0])}']
        lines += [f'    {_id(actor)}["{actor.name}"]' for actor in self.actors]
        lines += [
            f'    {_id(earlier)} -- "{type_}" --> {_id(later)}' for earlier, type_, later in self.links()
        ]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong, and what to do about it."""

    subject: str
    problem: str
    remedy: str


def check(actors: Sequence[Actor[Any, Any]], pipelines: Sequence[Pipeline]) -> list[Fault]:
    """Everything that would go wrong later: events nobody hears or nobody publishes, loops without an end, twins."""
    return [*_unheard(actors), *_unreachable(actors, pipelines), *_loops(actors), *_twins(actors, pipelines)]


def pipelines_of(pipelines: Iterable[Pipeline]) -> dict[tuple[str, str], str]:
    """(actor, event type) → pipeline, for the first pipeline that has the actor hear that type."""
    found: dict[tuple[str, str], str] = {}
    for pipeline in pipelines:
        for actor in pipeline.actors:
            for kind in actor.hears:
                found.setdefault((actor.name, kind.event_type), pipeline.name)
    return found


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean …?` for an error text, or nothing."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _unheard(actors: Sequence[Actor[Any, Any]]) -> list[Fault]:
    heard = {kind for actor in actors for kind in (*actor.hears, *actor.recorded)}
    targets = {actor.on_failure.name for actor in actors if actor.on_failure is not None}
    faults = [
        Fault(
            f"event {kind.event_type}",
            f"{actor.name} publishes it and nobody hears it",
            'write an actor whose first parameter is this event, or declare it audience="outside" if other services hear it',
        )
        for actor in actors
        for kind in actor.publishes
        if kind not in heard and getattr(kind, "event_audience", "house") == "house"
    ]
    names = {actor.name for actor in actors}
    return faults + [
        Fault(
            f"actor {name}",
            "it is somebody's on_failure but is not loaded",
            "put its file under actors/<domain>/",
        )
        for name in sorted(targets - names)
    ]


def _unreachable(actors: Sequence[Actor[Any, Any]], pipelines: Sequence[Pipeline]) -> list[Fault]:
    """Actors in the middle of a pipeline whose event nothing publishes are caught by the links; here: pipelines' actors that
    are not loaded, so that the pipeline would end in an unheard event."""
    names = {actor.name for actor in actors}
    return [
        Fault(
            f"pipeline {pipeline.name}",
            f"its actor {actor.name} is not loaded",
            "check CALLBOARD_APPS and the file's place",
        )
        for pipeline in pipelines
        for actor in pipeline.actors
        if actor.name not in names
    ]


def _loops(actors: Sequence[Actor[Any, Any]]) -> list[Fault]:
    """A circle of actors with no way to pause or end it would run for ever: a throttle or an idempotency key bounds it."""
    hearers: dict[type[Event], list[Actor[Any, Any]]] = defaultdict(list)
    for actor in actors:
        for kind in actor.hears:
            hearers[kind].append(actor)
    graph = {actor.name: [later for kind in actor.publishes for later in hearers[kind]] for actor in actors}
    faults: list[Fault] = []
    for actor in actors:
        path = _way_back(actor, graph)
        if path and actor.name == min(path) and not any(_bounded(a) for a in actors if a.name in path):
            faults.append(
                Fault(
                    " → ".join([*path, path[0]]),
                    "these actors publish to each other in a circle that nothing bounds",
                    "give one of them an idempotency key or a throttle, or break the circle",
                )
            )
    return faults


def _way_back(start: Actor[Any, Any], graph: Mapping[str, Sequence[Actor[Any, Any]]]) -> list[str]:
    """The shortest circle through an actor, as names; empty without one."""
    paths = [[start.name]]
    seen: set[str] = set()
    while paths:
        path = paths.pop(0)
        for later in graph.get(path[-1], ()):
            if later.name == start.name:
                return path
            if later.name not in seen:
                seen.add(later.name)
                paths.append([*path, later.name])
    return []


def _bounded(actor: Actor[Any, Any]) -> bool:
    policies = actor.policies
    limits = (policies.throttle, policies.rate_limit, policies.singleton, policies.idempotency)
    return any(limit is not None for limit in limits)


def _twins(actors: Sequence[Actor[Any, Any]], pipelines: Sequence[Pipeline]) -> list[Fault]:
    faults: list[Fault] = []
    for label, names in (
        ("pipeline", [p.name for p in pipelines]),
        ("actor", [n for a in actors for n in (a.name, *a.aliases)]),
    ):
        twins = sorted({name for name in names if names.count(name) > 1})
        faults += [Fault(f"{label} {name}", "declared twice", "rename one of them") for name in twins]
    return faults


def known_event(name: str) -> type[Event]:
    """The event class of a type. Raises ConfigurationError with the nearest known name."""
    by_type = {kind.event_type: kind for kind in registered()}
    if name not in by_type:
        raise ConfigurationError(f"no event is named {name!r}{nearest(name, by_type)}")
    return by_type[name]


def _types(kinds: Iterable[type[Event]]) -> str:
    return ", ".join(kind.event_type for kind in kinds)


def _id(actor: Actor[Any, Any]) -> str:
    return actor.name.replace(".", "_")
