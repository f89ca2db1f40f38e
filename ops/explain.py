"""Why an event is where it is: which binding, run, limit, due time, attempt, dead letter or missing worker explains it.

What the findings look like is the command line's business.
"""

from collections.abc import Iterator

from broker.history import LetterLine, OnTheWay
from broker.topology import queue_of
from ops.evidence import Evidence
from ops.explain_run import SHORTLY, Finding, of_run, seconds


def explain(found: Evidence) -> list[Finding]:
    """At least one finding, also for an id that nobody knows."""
    findings = [finding for run in found.runs for finding in of_run(found, run)]
    findings += [_of_message(found, message) for message in found.messages]
    findings += [_of_letter(letter) for letter in found.letters if letter.run_id is None]
    if not findings:
        return [_unknown(found)]
    findings += _missing(found)
    waiting = any(not run.finished for run in found.runs) or bool(found.messages)
    if waiting and not found.alive:
        findings.append(_no_worker(found))
    return findings


def _of_message(found: Evidence, message: OnTheWay) -> Finding:
    if message.place == "queue":
        state = "in the hands of a worker" if message.held else "waiting for a worker"
        return Finding(
            f"queue {message.queue}", state, f"delivered at {message.since:%H:%M:%S} UTC and not claimed yet"
        )
    if message.due_in is not None and message.due_in > SHORTLY and not message.held:
        return Finding("outbox", "delayed", f"it is published in {seconds(message.due_in)}")
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
