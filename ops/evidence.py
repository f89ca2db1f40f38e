"""All that is known of one event here: what `explain` judges. Reads only."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from psycopg import Connection
from psycopg.errors import InsufficientPrivilege, UndefinedColumn, UndefinedTable

from broker import Settings
from broker.history import (
    Gathering,
    LetterLine,
    OnTheWay,
    PlaceInLine,
    RunRow,
    WaitLine,
    WorkerRow,
    gathering,
    hearers,
    key_holder,
    letters_of_event,
    messages_of_event,
    place_in_line,
    runs_of,
    waits_of,
    workers,
)
from broker.ledger import LedgerRow
from broker.pause import Paused, pause_of
from broker.topology import DEFAULT_NAMESPACE
from ops.boot import App
from schemas import SchemaError, validate


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of an event here."""

    event_id: str
    runs: Sequence[RunRow] = ()
    messages: Sequence[OnTheWay] = ()
    letters: Sequence[LetterLine] = ()
    queues: Sequence[str] = ()
    workers: Sequence[WorkerRow] = ()
    holders: dict[str, str] = field(default_factory=dict[str, str])
    """Run id of a skipped run → run that holds its idempotency key."""
    places: Mapping[UUID, PlaceInLine] = field(default_factory=dict[UUID, PlaceInLine])
    """Run → where it stands in the line for a slot."""
    waits: dict[UUID, Sequence[WaitLine]] = field(default_factory=dict[UUID, Sequence[WaitLine]])
    """Run → what it waits for, for those that wait for an event or another run."""
    gathering: Mapping[UUID, Gathering] = field(default_factory=dict[UUID, Gathering])
    """Run → what it has gathered, for those that still do."""
    pauses: Mapping[UUID, Paused] = field(default_factory=dict[UUID, Paused])
    """Run → what it waits for to be resumed."""
    ledgers: Mapping[UUID, Sequence[LedgerRow]] = field(default_factory=dict[UUID, Sequence[LedgerRow]])
    """Run → what its domain has written down about it."""
    attempts: dict[str, int] = field(default_factory=dict[str, int])
    """Actor → attempts it is allowed, for the actors that are loaded here."""
    lease: timedelta = timedelta(seconds=10)
    namespace: str = DEFAULT_NAMESPACE
    rabbitmq: bool = False

    @property
    def alive(self) -> list[WorkerRow]:
        return [worker for worker in self.workers if worker.silent <= self.lease]


def look(connection: Connection, settings: Settings, app: App, reference: str) -> Evidence:
    """Reads only. `reference` is an event's id; a run's id is taken for its event's."""
    runs = runs_of(connection, reference)
    event_id = runs[0].event_id if runs else reference
    messages, letters = messages_of_event(connection, event_id), letters_of_event(connection, event_id)
    types = [
        *[run.event_type for run in runs],
        *[m.event_type for m in messages],
        *[letter.event_type for letter in letters],
    ]
    known = next((name for name in types if name), None)
    return Evidence(
        event_id=event_id,
        runs=runs_of(connection, event_id) if runs else (),
        messages=messages,
        letters=letters,
        queues=hearers(connection, known) if known else (),
        workers=workers(connection),
        holders=_holders(connection, app, runs),
        places={run.id: place for run in runs if (place := place_in_line(connection, run.id)) is not None},
        waits={run.id: waits_of(connection, run.id) for run in runs if run.status == "waiting"},
        gathering={run.id: found for run in runs if (found := gathering(connection, run.id)) is not None},
        pauses={run.id: held for run in runs if (held := pause_of(connection, run.id)) is not None},
        ledgers={run.id: _rows(connection, app, run) for run in runs},
        attempts={actor.name: actor.policies.retry.attempts for actor in app.actors},
        lease=settings.lease,
        namespace=settings.namespace,
        rabbitmq=bool(settings.broker_urls),
    )


def _rows(connection: Connection, app: App, run: RunRow) -> list[LedgerRow]:
    """Nothing of a table that is not there, or not for us to read: it only adds to what the engine knows."""
    domain, found = run.actor.partition(".")[0], list[LedgerRow]()
    for ledger in app.ledgers:
        if ledger.domain == domain:
            with suppress(UndefinedTable, UndefinedColumn, InsufficientPrivilege):
                found += filter(None, [ledger.row_of(connection, run.id)])
    return found


def _holders(connection: Connection, app: App, runs: Sequence[RunRow]) -> dict[str, str]:
    """Whose key it is that a skipped run wanted; only for actors that are loaded here."""
    actors = {actor.name: actor for actor in app.actors}
    found: dict[str, str] = {}
    for run in runs:
        actor = actors.get(run.actor)
        if (
            run.status != "skipped"
            or actor is None
            or actor.policies.idempotency is None
            or run.event is None
        ):
            continue
        try:
            event = validate(run.event_type, run.event_version, json.dumps(run.event).encode())
        except SchemaError:
            continue
        holder = key_holder(connection, actor.name, actor.policies.idempotency.key_of(actor.hears)(event))
        if holder is not None and holder != run.id:
            found[str(run.id)] = str(holder)
    return found
