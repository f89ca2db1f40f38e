"""Chains as they happen: a thread that looks at what moves, and prints a line for each thing that is new."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import psycopg
from psycopg import Connection
from rich.console import Console
from rich.text import Text

from broker import Settings
from broker.chains import moving_runs, now, runless_letters, stories
from broker.history import LetterLine, RunRow, RunStory
from ops.cli.screen import COLOURS, clock, one_line, took
from ops.cli.timeline import Moment, moments
from ops.reach import database_place, reason_of

LOOK = timedelta(seconds=0.15)
"""Short enough to seem at once; a look is four small statements."""
PAUSE = timedelta(seconds=1)
FORGET = 20_000
"""Lines remembered as told, so that none is told twice."""
TAGS = ("cyan", "magenta", "blue", "green", "yellow")
ONLY_IN_A_TIMELINE = ("claim", "caused", "failed")
"""A failure is told by its attempt and its dead letter."""


@dataclass(slots=True)
class Follower:
    """Tells what happens from its start on."""

    settings: Settings
    out: Console
    _since: datetime | None = None
    _looked: datetime | None = None
    _known: dict[UUID, None] = field(default_factory=dict[UUID, None])
    """Unfinished runs, and failed ones: those may be replayed."""
    _told: dict[tuple[object, ...], None] = field(default_factory=dict[tuple[object, ...], None])
    _depths: dict[str, int] = field(default_factory=dict[str, int])
    _ends: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """After one more look: what the workers did while they stopped is told too."""
        self._ends.set()
        if self._thread is not None:
            self._thread.join(5)

    def look(self, connection: Connection) -> list[Text]:
        """What is new since the last look, in order of time."""
        moment = now(connection)
        self._since = self._since or moment
        found = moving_runs(connection, self._looked or moment, self._known)
        self._looked = moment
        lines: list[tuple[datetime, Text]] = []
        for told in stories(connection, found):
            lines += self._news(told)
        for letter in runless_letters(connection, self._since):
            if self._is_new(letter.created_at, letter.id, "letter"):
                lines.append((letter.created_at, _line(letter.created_at, None, 0, _runless(letter))))
        _shrink(self._told)
        _shrink(self._depths)
        return [text for _, text in sorted(lines, key=lambda line: line[0])]

    def _follow(self) -> None:
        away = False
        while True:
            last = self._ends.is_set()
            try:
                with self.settings.database.once("dev") as connection:
                    away = False
                    while True:
                        last = self._ends.is_set()
                        for line in self.look(connection):
                            self.out.print(line, soft_wrap=True)
                        if last:
                            return
                        self._ends.wait(LOOK.total_seconds())
            except psycopg.OperationalError as error:
                if not away and not last:
                    self.out.print(
                        f"{database_place(self.settings)}: {reason_of(error)}", style="yellow", soft_wrap=True
                    )
                away = True
                if last or self._ends.wait(PAUSE.total_seconds()):
                    return

    def _news(self, told: RunStory) -> Iterator[tuple[datetime, Text]]:
        run = told.run
        depth = self._depths.setdefault(run.event_id, self._depth(run))
        if run.finished and run.status != "failed":
            self._known.pop(run.id, None)
        else:
            self._known[run.id] = None
        for moment in [*moments(told), *self._standing(told)]:
            at, kind, what, _ = moment
            key = (run.event_id, "event") if kind == "event" else (run.id, at, kind, what)
            if kind not in ONLY_IN_A_TIMELINE and self._is_new(at, *key):
                text = _published(run, depth) if kind == "event" else _happened(run, moment)
                yield at, _line(at, run.correlation_id, depth + (kind != "event"), text)

    def _standing(self, told: RunStory) -> Iterator[Moment]:
        """What is no row of its own: that a run waits for its turn, and that its worker died. Told when it is seen."""
        run, seen = told.run, self._looked
        assert seen is not None  # set by each look
        if run.crashes and self._is_untold(run.id, run.rerun, "crash", run.crashes):
            yield seen, "crash", f"its worker died ({run.crashes} of {self.settings.crash_limit})", ""
        waits = run.status == "waiting" and run.due_in is not None and run.due_in > timedelta(0)
        sleeps = any(step.status == "waiting" for step in told.steps)  # which has a row
        if waits and not sleeps and self._is_untold(run.id, "waiting", run.due_at):
            yield seen, "waiting", one_line(run.reason or ""), f"starts in {took(run.due_in)}"

    def _depth(self, run: RunRow) -> int:
        cause = self._depths.get(run.causation_id or "")
        return 0 if cause is None else cause + 1

    def _is_new(self, at: datetime, *key: object) -> bool:
        assert self._since is not None  # set by the first look
        return at >= self._since and self._is_untold(*key)

    def _is_untold(self, *key: object) -> bool:
        if key in self._told:
            return False
        self._told[key] = None
        return True


def _published(run: RunRow, depth: int) -> Text:
    return Text("→ " if depth else "", style="dim").append(run.event_type, style="bold")


def _happened(run: RunRow, moment: Moment) -> Text:
    _, kind, what, length = moment
    text, told = Text(f"{run.actor}  "), str(what)
    if kind == "dead letter":
        reason, _, id = told.rpartition(": ")
        return text.append(f"dead letter: {reason}", "red").append(f"  callboard dead show {id}", "dim")
    if kind == run.status and kind != "waiting":
        text.append(kind, COLOURS.get(kind, "")).append(f" in {length}" if length else "")
        return text.append(f": {told}" if told else "")
    failed = "failed" in kind or kind == "crash"
    text.append(kind, "red" if failed else COLOURS.get(kind, "dim")).append(f"  {told}")
    return text.append(f"  {length}", "yellow" if failed else "dim") if length else text


def _runless(letter: LetterLine) -> Text:
    """What nobody hears may be meant for other services; what cannot be read is a fault."""
    text = Text(f"{letter.event_type or letter.queue}  ")
    text.append(f"dead letter: {letter.reason}", "yellow" if letter.reason == "unheard" else "red")
    return text.append(f"  callboard dead show {letter.id}", "dim")


def _line(at: datetime, chain: str | None, depth: int, text: Text) -> Text:
    tag = (chain or "----")[-4:]
    colour = TAGS[sum(map(ord, tag)) % len(TAGS)] if chain else "dim"
    head = Text(f"{clock(at)[-12:]} ", style="dim").append(tag, style=f"not dim {colour}")
    return Text.assemble(head, "  " * (depth + 1), text)


def _shrink(kept: "dict[tuple[object, ...], None] | dict[str, int]") -> None:
    """Oldest first: a dict keeps the order of its keys."""
    if len(kept) > FORGET:
        for key in list(kept)[: FORGET // 2]:
            del kept[key]  # type: ignore[arg-type]
