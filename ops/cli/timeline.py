"""One run from its event to its end, and the story it belongs to, as a person reads them."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from rich.console import Console
from rich.text import Text

from broker.history import OnTheWay, RunRow, RunStory
from ops.cli.screen import Cell, clock, facts, one_line, printable, status, table, took

Moment = tuple[datetime, str, Cell, str]
"""When, what kind of thing, what, and how long it took or what comes next."""


def show_story(out: Console, told: RunStory) -> None:
    run = told.run
    head = Text(f"{run.actor} ", style="bold").append_text(status(run.status))
    out.print(
        head.append(f" in {took(run.lasted)}" if run.finished and run.started_at else "", style="not bold")
    )
    out.print(facts(_facts(run)))
    out.print()
    in_order = sorted(moments(told), key=lambda moment: moment[0])
    out.print(table(["TIME", "", "WHAT", "LENGTH"], [_row(run, moment) for moment in in_order], flexible=2))
    for message in told.on_the_way:
        out.print(f"on its way: {message.event_type} {message.event_id} {place_of(message)}", soft_wrap=True)
    out.print()


def show_traces(out: Console, told: RunStory) -> None:
    """Where each failed attempt was when it failed, as Python tells it."""
    for attempt in told.attempts:
        if attempt.trace:
            again = f" of replay {attempt.rerun}" if attempt.rerun else ""
            out.print(f"attempt {attempt.attempt}{again}: {attempt.kind}", style="bold red")
            out.print(Text(printable(attempt.trace.rstrip())), soft_wrap=True)
            out.print()


def show_chain(out: Console, runs: Sequence[RunRow], marked: Collection[UUID]) -> None:
    """The story as a tree: what an event caused stands below it, further right."""
    if len(runs) < 2:
        return
    out.print(f"story {runs[0].correlation_id}, {len(runs)} runs", style="bold")
    rows = [_branch(run, depth, marked) for run, depth in in_causal_order(runs)]
    out.print(table(["ACTOR", "RUN", "STATUS", "TOOK", ""], rows))


def in_causal_order(runs: Sequence[RunRow]) -> Iterator[tuple[RunRow, int]]:
    """Each run after the one whose event caused its own, with its depth. One whose cause is not among them has depth 0."""
    events = {run.event_id for run in runs}
    shown: set[UUID] = set()

    def below(cause: str | None, depth: int) -> Iterator[tuple[RunRow, int]]:
        for run in runs:
            belongs = run.causation_id == cause or (cause is None and run.causation_id not in events)
            if belongs and run.id not in shown:
                shown.add(run.id)
                yield run, depth
                yield from below(run.event_id, depth + 1)

    yield from below(None, 0)


def place_of(message: OnTheWay) -> str:
    """Where a message waits that nobody has claimed."""
    if message.place == "queue":
        return f"in the queue {message.queue} since {clock(message.since)}"
    if message.due_in is not None and message.due_in > timedelta(0):
        return f"in the outbox, to be sent in {took(message.due_in)}"
    return "in the outbox, about to be sent"


def _facts(run: RunRow) -> list[tuple[str, Cell | None]]:
    crashed = f", {run.crashes} crash(es) of its worker" if run.crashes else ""
    replayed = f", replayed {run.rerun} time(s)" if run.rerun else ""
    return [
        ("run", str(run.id)),
        ("event", f"{run.event_type} {run.event_id}"),
        ("source", run.event_source),
        ("pipeline", run.pipeline),
        ("attempt", f"{run.attempt}{crashed}{replayed}"),
        ("story", run.correlation_id),
        ("caused by", run.causation_id),
        ("trace", run.trace_id),
    ]


def moments(told: RunStory) -> Iterator[Moment]:
    """What is known to have happened, in no order."""
    run = told.run
    yield run.event_time, "event", f"{run.event_type} was published", ""
    yield run.created_at, "claim", "claimed by a worker", took(run.created_at - run.event_time)
    waits = {(wait.name, wait.occurrence): str(wait) for wait in told.waits}
    for step in told.steps:
        again = f", try {step.tries}" if step.tries > 1 else ""
        late = (
            f"next in {took(step.due_in)}"
            if step.due_in is not None and step.due_in > timedelta(0) and not run.finished
            else took(step.lasted)
        )
        what = step.name if step.occurrence == 0 else f"{step.name} #{step.occurrence + 1}"
        failed = f": {one_line(step.error)}" if step.error else ""
        if (awaited := waits.get((step.name, step.occurrence))) is not None:
            what += f": {awaited}"
        yield step.finished_at, f"step {step.status}{again}", f"{what}{failed}", late
    for attempt in told.attempts:
        where = f" (step {attempt.step})" if attempt.step else ""
        wait = f"retry after {took(attempt.delay)}" if attempt.delay is not None else "given up"
        again = f" of replay {attempt.rerun}" if attempt.rerun else ""
        yield (
            attempt.failed_at,
            f"attempt {attempt.attempt}{again} failed",
            _error(attempt.kind, attempt.error) + where,
            wait,
        )
    yield from _folded(told)
    yield from _endings(told)


def _folded(told: RunStory) -> Iterator[Moment]:
    """The last events that were folded into it, and how many came before."""
    earlier = told.folded_count - len(told.folded)
    for place, run in enumerate(told.folded):
        more = f" and {earlier} before it" if earlier and place == 0 else ""
        yield run.created_at, "folded", f"{run.event_type} {run.event_id}{more}", ""


def _endings(told: RunStory) -> Iterator[Moment]:
    for letter in told.letters:
        yield letter.created_at, "dead letter", f"{letter.reason}: {letter.id}", ""
        if letter.settled_at is not None:
            yield letter.settled_at, letter.settled_as or "settled", str(letter.id), ""
    for after in told.next:
        yield after.created_at, "caused", f"{after.event_type} → {after.actor}", ""
    run = told.run
    if run.finished_at is not None:
        yield (
            run.finished_at,
            run.status,
            one_line(run.reason or ""),
            took(run.lasted) if run.started_at else "",
        )


def _row(run: RunRow, moment: Moment) -> list[Cell]:
    at, kind, what, length = moment
    ended = run.finished_at == at and kind == run.status
    bad = "failed" in kind or kind == "dead letter"
    return [clock(at), status(kind) if ended else Text(kind, style="red" if bad else ""), what, length]


def _error(kind: str, error: str) -> str:
    text = one_line(error)
    return text if text.startswith(kind) else f"{kind}: {text}"


def _branch(run: RunRow, depth: int, marked: Collection[UUID]) -> list[Cell]:
    own = run.id in marked
    name = Text("  " * depth + run.actor, style="bold" if own else "")
    return [
        name,
        str(run.id),
        status(run.status),
        took(run.lasted) if run.started_at else "",
        "← shown above" if own else "",
    ]
