"""What a rehearsal's waits get: events and results that the test gives, settled in memory as the journal settles them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from broker.actor import Actor
from broker.errors import InvokeFailed
from broker.journal.intents import Part, StepRow
from broker.matching import keys_of
from schemas import Event, validate

Given = BaseModel | InvokeFailed | None | Callable[[Any], BaseModel | None]
"""What invoking an actor gives: its result, a failure, or a function from its event to its result."""


@dataclass(frozen=True, slots=True)
class Answers:
    """`heard` are events in the order in which they come; `results` by invoked actor; with `time_passes` nothing lasts."""

    heard: Sequence[Event] = ()
    results: Mapping[Actor[Any, Any, Any], Given] | None = None
    time_passes: bool = False

    def settled(self, row: StepRow) -> StepRow | None:
        """The row of a wait or a sleep that is over; None if it is not."""
        if not row.parts:
            return replace(row, status="done") if self.time_passes else None
        outcomes = {
            str(place): found for place, part in enumerate(row.parts) if (found := self._outcome(part))
        }
        if not outcomes or (row.needs_all and len(outcomes) < len(row.parts)):
            return None
        if not row.needs_all:
            first = min(outcomes, key=lambda place: outcomes[place].get("position", len(self.heard) + 1))
            outcomes = {first: outcomes[first]}
        return replace(row, status="done", result=json.dumps(outcomes), delay=None, at=None)

    def _outcome(self, part: Part) -> dict[str, Any] | None:
        if part.kind == "event":
            found = self._event(part)
        elif part.kind == "child":
            found = self._result(part)
        else:
            found = {"elapsed": True} if self.time_passes else None
        timed = self.time_passes and (part.delay is not None or part.at is not None)
        return found or ({"timed_out": True} if timed else None)

    def _event(self, part: Part) -> dict[str, Any] | None:
        for position, event in enumerate(self.heard, 1):
            kind, wanted = type(event), {part.key, *part.also}
            if kind.event_type == part.what and position not in part.received and wanted <= {*keys_of(event)}:
                return {
                    "event": event.model_dump(mode="json"),
                    "type": kind.event_type,
                    "version": kind.event_version,
                    "position": position,
                }
        return None

    def _result(self, part: Part) -> dict[str, Any] | None:
        given = {actor.name: result for actor, result in (self.results or {}).items()}
        if part.what not in given or part.child is None:
            return None
        result = given[part.what]
        if isinstance(result, InvokeFailed):
            return {"failed": result.reason, "error": result.error, "letter": _text(result.dead_letter_id)}
        if not isinstance(result, BaseModel) and result is not None:
            headers = part.child.message.headers
            version = int(headers["cloudEvents_schemaversion"])
            result = result(validate(headers["cloudEvents_type"], version, part.child.message.body))
        return {"result": result.model_dump(mode="json") if result is not None else None}


def _text(value: object) -> str | None:
    return None if value is None else str(value)
