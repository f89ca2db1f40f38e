"""One actor without broker or database: its body with steps kept in memory, and everything it asked for as values."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, cast
from uuid import UUID

from broker.actor import Actor
from broker.errors import ConfigurationError
from broker.journal.claimed import ClaimedRun, StoredStep
from broker.journal.intents import Answer, End, Intent, Record, Recorded, StepRow
from broker.perform import signal_in
from broker.run.asynchronous import AsyncRun
from broker.run.core import Core
from broker.run.guard import OpenGuard
from broker.run.synchronous import Run
from broker.run.tools import Tools
from broker.signals import Suspended
from broker.testing.answers import Answers, Given
from schemas import Event, uuid7, validate, wrap


@dataclass(slots=True)
class Rehearsal:
    """What one attempt did. `suspended` is set where it left its body to wait; rehearse it again with `steps` to go on."""

    published: list[Event] = field(default_factory=list[Event])
    writes: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    broadcasts: list[tuple[str, str, Any]] = field(default_factory=list[tuple[str, str, Any]])
    """Channel, name and data of each."""
    result: str | None = None
    suspended: Suspended | None = None
    steps: dict[tuple[str, int], StepRow] = field(default_factory=dict[tuple[str, int], StepRow])


class _MemoryLedger:
    """Keeps steps and answers at once."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self._rehearsal = rehearsal

    def submit(self, intent: Intent, settle: Callable[[Answer | BaseException], None]) -> None:
        if isinstance(intent, Record):
            for row in intent.steps:
                self._rehearsal.steps[row.name, row.occurrence] = row
        settle(Recorded(True))


class _NoPool:
    def getconn(self, timeout: float | None = None) -> Any:
        raise ConfigurationError(
            "a rehearsal has no database: test transaction() and transactional steps on a Stage"
        )

    def putconn(self, conn: object) -> None:
        pass


def rehearse(
    actor: Actor[Any, Any],
    event: Event,
    *,
    attempt: int = 1,
    run_id: UUID | None = None,
    steps: Mapping[tuple[str, int], StepRow] | None = None,
    gathered: Sequence[Event] = (),
    heard: Sequence[Event] = (),
    results: Mapping[Actor[Any, Any, Any], Given] | None = None,
    time_passes: bool = False,
) -> Rehearsal:
    """Run the actor's body once. Errors come out as they are; `steps` of an earlier rehearsal are known results.

    `gathered` are the events of an actor with `batch` or `debounce`; `event` is then the last of them.

    `heard` are the events that its waits find, `results` what the actors that it invokes give (a model, an InvokeFailed, or a
    function of the event). With these it is entered again from the top after each wait, as in the house; with `time_passes`
    sleeps and timeouts are over at once. What is still waited for is `suspended`.
    """
    answers = Answers(heard, results, time_passes)
    known, id = dict(steps or {}), run_id or uuid7()
    while True:
        rehearsal = _once(actor, gathered or (event,), attempt, id, known)
        waiting = {k: row for k, row in rehearsal.steps.items() if row.status == "waiting"}
        settled = {k: done for k, row in waiting.items() if (done := answers.settled(row)) is not None}
        rehearsal.steps |= settled
        if rehearsal.suspended is None or not settled:
            return rehearsal
        known = rehearsal.steps


def _once(
    actor: Actor[Any, Any],
    events: Sequence[Event],
    attempt: int,
    run_id: UUID,
    steps: Mapping[tuple[str, int], StepRow],
) -> Rehearsal:
    event = events[-1]
    rehearsal = Rehearsal(steps=dict(steps))
    core = Core(
        replace(_claimed(actor, event, attempt, run_id, rehearsal.steps), gathered=events),
        source="rehearsal",
        traced=lambda *_: (None, None),
        waits_for=actor.waits_for,
    )
    tools = Tools(_MemoryLedger(rehearsal), OpenGuard(), _NoPool(), lambda *_: True, lambda _: nullcontext())
    try:
        if actor.asynchronous:
            coroutine = cast(
                "Coroutine[Any, Any, object]", actor.fn(event, AsyncRun(core, tools, lambda call: call()))
            )
            _keep(rehearsal, core.completed(asyncio.run(coroutine)))
        else:
            _keep(rehearsal, core.completed(actor.fn(event, Run(core, tools))))
    except BaseException as error:
        signal = signal_in(error)
        if not isinstance(signal, Suspended):
            raise
        rehearsal.suspended = signal
    return rehearsal


def _keep(rehearsal: Rehearsal, end: End) -> None:
    rehearsal.result = end.result
    rehearsal.writes = list(end.writes)
    rehearsal.broadcasts = [(told.channel, told.name, json.loads(told.data)) for told in end.broadcasts]
    for out in end.outgoing:
        headers = out.message.headers
        version = int(headers.get("cloudEvents_schemaversion", "1"))
        rehearsal.published.append(validate(headers["cloudEvents_type"], version, out.message.body))


def _claimed(
    actor: Actor[Any, Any],
    event: Event,
    attempt: int,
    run_id: UUID,
    steps: Mapping[tuple[str, int], StepRow],
) -> ClaimedRun:
    stored = {
        key: StoredStep(row.status, row.tries, row.result, row.error, None) for key, row in steps.items()
    }
    claimed = ClaimedRun(run_id, actor.name, wrap(event, source="rehearsal"), 1, attempt, event)
    return replace(claimed, steps=stored)
