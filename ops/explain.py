"""Why an event is where it is: which binding, run, limit, due time, attempt, dead letter or missing worker explains it.

What the findings look like is the command line's business.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from broker.history import Gathering, LetterLine, OnTheWay, PlaceInLine, RunRow, WaitLine
from broker.topology import queue_of
from ops.evidence import Evidence

SHORTLY = timedelta(seconds=2)
"""How late something may be before its lateness is worth a word: a sweep takes 250 ms, a hand-over as long."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact that explains something. `next` is what to do about it; empty when nothing has to be done."""

    subject: str
    state: str
    why: str
    next: str = ""


def explain(found: Evidence) -> list[Finding]:
    """At least one finding, also for an id that nobody knows."""
    findings = [_of_run(found, run) for run in found.runs]
    findings += [_of_message(found, message) for message in found.messages]
    findings += [_of_letter(letter) for letter in found.letters if letter.run_id is None]
    if not findings:
        return [_unknown(found)]
    findings += _missing(found)
    waiting = any(not run.finished for run in found.runs) or bool(found.messages)
    if waiting and not found.alive:
        findings.append(_no_worker(found))
    return findings


def _of_run(found: Evidence, run: RunRow) -> Finding:
    subject = f"run {run.id} of {run.actor}"
    if run.status == "failed":
        return _failed(found, run, subject)
    told = {
        "queued": _queued,
        "running": _running,
        "waiting": _waiting,
        "retrying": _retrying,
        "skipped": _skipped,
        "cancelled": _cancelled,
        "folded": _folded,
    }.get(run.status)
    if told is not None:
        return Finding(subject, run.status, *told(found, run))
    return Finding(subject, run.status, f"it is over: {run.reason}" if run.reason else "it did its work")


def _failed(found: Evidence, run: RunRow, subject: str) -> Finding:
    letter = next(
        (letter for letter in found.letters if letter.run_id == run.id and letter.settled_at is None), None
    )
    tries = (
        f"after {run.attempt} attempt(s)"
        if not run.crashes
        else f"after {run.attempt} attempt(s) and {run.crashes} crash(es)"
    )
    if letter is None:
        return Finding(
            subject, "failed", f"{run.reason or 'given up'} {tries}; its dead letter was discarded"
        )
    return Finding(
        subject,
        "failed",
        f"{letter.reason} {tries}: {letter.error}",
        f"when its cause is cured: callboard dead replay {letter.id}",
    )


def _queued(found: Evidence, run: RunRow) -> tuple[str, str]:
    return (
        f"{run.reason or 'it waits'}; it starts as soon as a worker for {run.actor} has room",
        _see_to_workers(found, run),
    )


def _running(found: Evidence, run: RunRow) -> tuple[str, str]:
    worker = next((worker for worker in found.workers if worker.id == run.worker), None)
    since = f"attempt {run.attempt} is being performed"
    if worker is None:
        return (
            f"{since} by a worker that has gone; it is taken over as soon as another one looks",
            _see_to_workers(found, run),
        )
    if worker.silent > found.lease:
        return (
            f"{since} by {worker.name}, which has been silent for {_seconds(worker.silent)}: stopped, cut off or dead",
            _see_to_workers(found, run) or "nothing: another worker takes it over within a second",
        )
    return f"{since} by {worker.name}", ""


def _waiting(found: Evidence, run: RunRow) -> tuple[str, str]:
    if (place := found.places.get(run.id)) is not None:
        return _in_line(run, place), _see_to_workers(found, run)
    if (pause := found.pauses.get(run.id)) is not None:
        return (
            f"{pause.told(_seconds(pause.lasts))}; {_line(pause.waiting)}",
            f"callboard resume {pause.name}",
        )
    if (gathered := found.gathering.get(run.id)) is not None:
        return _gathering(run, gathered), _see_to_workers(found, run)
    if waits := found.waits.get(run.id):
        told = "; ".join(f"in {wait.name!r}, {wait}{_until(wait)}" for wait in waits)
        return f"it waits {told}", ""
    reason = {
        "throttle": f"the throttle of {run.actor} has no free start before then",
        "postponed": "its actor postponed it",
        "paused": "it was paused, and has been resumed; it starts at the next look",
        "singleton": "an older run of its key is being written; it cancels that one in a moment",
    }.get(run.reason or "", run.reason or "it waits")
    return f"{reason}: {_when(run)}", _see_to_workers(found, run)


def _in_line(run: RunRow, place: PlaceInLine) -> str:
    """Whom it waits for."""
    key = f" of key {place.key!r}" if place.key else ""
    ahead = "it is the next"
    if place.ahead:
        ahead = "1 run is ahead of it" if place.ahead == 1 else f"{place.ahead} runs are ahead of it"
    if not place.holders:
        return f"a slot{key} of {run.actor} is free; {ahead} and gets it at the next look"
    held = f"run {place.holders[0]}" + (f" and {len(place.holders) - 1} more" if place.holders[1:] else "")
    slots = "the slot" if place.cap == 1 else f"the {place.cap} slots"
    return f"{held} has {slots}{key}; {ahead}, and starts when one ends"


def _line(waiting: int) -> str:
    return "it waits until that is resumed" if waiting == 1 else f"{waiting} runs wait until that is resumed"


def _gathering(run: RunRow, gathered: Gathering) -> str:
    key = f" of key {gathered.key!r}" if gathered.key else ""
    many = "its own event" if gathered.members == 1 else f"{gathered.members} events"
    word = f"the {run.reason} of {run.actor}"
    if gathered.due_in <= timedelta(0):
        return f"{word} has gathered {many}{key}; it starts at the next look"
    return f"{word} has gathered {many}{key} so far; it starts in {_seconds(gathered.due_in)} if no more come"


def _retrying(found: Evidence, run: RunRow) -> tuple[str, str]:
    allowed = found.attempts.get(run.actor)
    of = f" of {allowed}" if allowed else ""
    return f"attempt {run.attempt}{of} failed ({run.reason}); the next one: {_when(run)}", _see_to_workers(
        found, run
    )


def _skipped(found: Evidence, run: RunRow) -> tuple[str, str]:
    holder = found.holders.get(str(run.id))
    if holder is not None:
        return f"{run.reason}: run {holder} holds the same idempotency key", f"callboard runs show {holder}"
    return f"{run.reason or 'a policy'} kept it from starting", ""


def _folded(_found: Evidence, run: RunRow) -> tuple[str, str]:
    if (into := (run.reason or "").removeprefix("folded into run ")) == run.reason:
        return f"it is over: {run.reason}", ""
    return (
        f"run {into} of the same actor does its work, with that of other events of its key",
        f"callboard runs show {into}",
    )


def _cancelled(_found: Evidence, run: RunRow) -> tuple[str, str]:
    return f"it was {run.reason or 'cancelled'}", f"to do it after all: callboard runs rerun {run.id}"


def _of_message(found: Evidence, message: OnTheWay) -> Finding:
    if message.place == "queue":
        state = "in the hands of a worker" if message.held else "waiting for a worker"
        return Finding(
            f"queue {message.queue}", state, f"delivered at {message.since:%H:%M:%S} UTC and not claimed yet"
        )
    if message.due_in is not None and message.due_in > SHORTLY and not message.held:
        return Finding("outbox", "delayed", f"it is published in {_seconds(message.due_in)}")
    why = (
        "it is about to be sent"
        if found.alive
        else "it is due, but nobody sends it: that is done by a worker"
    )
    return Finding("outbox", "to be sent", why)


def _of_letter(letter: LetterLine) -> Finding:
    subject = f"dead letter {letter.id}"
    place = f" in field {letter.field}" if letter.field else ""
    if letter.settled_as is not None:
        return Finding(
            subject, letter.settled_as, f"it had been kept as '{letter.reason}'{place}: {letter.error}"
        )
    advice = f"then callboard dead replay {letter.id}"
    if letter.reason == "unheard":
        return Finding(
            subject, "unheard", f"no actor hears {letter.event_type}", f"start a worker that does, {advice}"
        )
    return Finding(
        subject, "dead", f"{letter.reason}{place}: {letter.error}", f"publish it corrected, or {advice}"
    )


def _missing(found: Evidence) -> Iterator[Finding]:
    """Actors that are bound to the event's type and have neither a run nor a message of it."""
    there = (
        {queue_of(found.namespace, run.actor) for run in found.runs}
        | {m.queue for m in found.messages}
        | {letter.queue for letter in found.letters}
    )
    if any(message.place == "outbox" for message in found.messages):
        return
    for queue in found.queues:
        if queue not in there:
            where = "the event is still in RabbitMQ," if found.rabbitmq else "the event"
            yield Finding(
                queue,
                "no run",
                f"it hears the type; {where} is older than its binding, or was sent to one actor only",
            )


def _no_worker(found: Evidence) -> Finding:
    gone = (
        f"{len(found.workers)} worker(s) are registered, all silent"
        if found.workers
        else "no worker is registered"
    )
    return Finding("workers", "missing", f"{gone}: nothing is performed, sent or woken", "callboard worker")


def _unknown(found: Evidence) -> Finding:
    places = "no run, no message in outbox or queues, no dead letter has this id"
    if found.rabbitmq:
        places += "; what still waits in a RabbitMQ queue cannot be seen from here"
    advice = "compare id, CALLBOARD_NAMESPACE and CALLBOARD_DATABASE_URL with the publisher's"
    if not found.alive:
        advice = "start `callboard worker`: without one nothing is claimed; or " + advice
    return Finding(
        f"event {found.event_id}", "unknown", f"{places}: never published here, or past retention", advice
    )


def _see_to_workers(found: Evidence, run: RunRow) -> str:
    overdue = run.due_in is None or run.due_in < -SHORTLY
    if found.alive and overdue and run.due_in is not None:
        return f"look whether a worker consumes {run.actor} (--actors) and has room"
    return ""


def _until(wait: WaitLine) -> str:
    if wait.due_in is None or wait.due_at is None:
        return ", as long as it takes"
    return f", until {wait.due_at:%Y-%m-%d %H:%M:%S} UTC (in {_seconds(max(wait.due_in, timedelta(0)))})"


def _when(run: RunRow) -> str:
    if run.due_in is None:
        return "it has no due time, so only an event can wake it"
    return (
        f"due in {_seconds(run.due_in)}"
        if run.due_in > timedelta(0)
        else f"due since {_seconds(-run.due_in)}"
    )


def _seconds(length: timedelta) -> str:
    seconds = length.total_seconds()
    return (
        f"{seconds:.1f} s"
        if seconds < 60
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
