"""Why a run is where it is."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from broker.history import Gathering, PlaceInLine, RunRow, WaitLine
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


def of_run(found: Evidence, run: RunRow) -> Iterator[Finding]:
    """Of the run itself, then what its domain has written down about it."""
    yield _of_itself(found, run)
    for row in found.ledgers.get(run.id, ()):
        told = ", ".join(f"{name} {value}" for name, value in row.columns.items())
        yield Finding(f"row of {row.table}", row.status, told or "its domain says no more")


def _of_itself(found: Evidence, run: RunRow) -> Finding:
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
            f"{since} by {worker.name}, which has been silent for {seconds(worker.silent)}: stopped, cut off or dead",
            _see_to_workers(found, run) or "nothing: another worker takes it over within a second",
        )
    return f"{since} by {worker.name}", ""


def _waiting(found: Evidence, run: RunRow) -> tuple[str, str]:
    if (place := found.places.get(run.id)) is not None:
        return _in_line(run, place), _see_to_workers(found, run)
    if (pause := found.pauses.get(run.id)) is not None:
        return (
            f"{pause.told(seconds(pause.lasts))}; {_line(pause.waiting)}",
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
    return f"{word} has gathered {many}{key} so far; it starts in {seconds(gathered.due_in)} if no more come"


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


def _see_to_workers(found: Evidence, run: RunRow) -> str:
    overdue = run.due_in is None or run.due_in < -SHORTLY
    if found.alive and overdue and run.due_in is not None:
        return f"look whether a worker consumes {run.actor} (--actors) and has room"
    return ""


def _until(wait: WaitLine) -> str:
    if wait.due_in is None or wait.due_at is None:
        return ", as long as it takes"
    return f", until {wait.due_at:%Y-%m-%d %H:%M:%S} UTC (in {seconds(max(wait.due_in, timedelta(0)))})"


def _when(run: RunRow) -> str:
    if run.due_in is None:
        return "it has no due time, so only an event can wake it"
    return (
        f"due in {seconds(run.due_in)}" if run.due_in > timedelta(0) else f"due since {seconds(-run.due_in)}"
    )


def seconds(length: timedelta) -> str:
    seconds = length.total_seconds()
    return (
        f"{seconds:.1f} s"
        if seconds < 60
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
