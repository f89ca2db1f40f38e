"""One dead letter as a person reads it."""

import json
from dataclasses import replace

from rich.console import Console

from broker.dead_letters import Letter
from ops.cli.marked import without_marked
from ops.cli.screen import clock, facts, one_line, printable, table
from schemas.marks import HIDDEN

BODY_LIMIT = 4_000
"""Characters of a payload; `--json` has all of it."""


def hidden(letter: Letter) -> Letter:
    """With `***` for what its event type marks as secret or personal, and for a body that nobody could read."""
    kind, payload = letter.event_type, letter.payload
    body = letter.body
    if letter.event is None and body is not None:
        body = json.dumps(without_marked(kind, payload)).encode() if payload is not None else HIDDEN.encode()
    return replace(
        letter,
        event=without_marked(kind, letter.event),
        edited=without_marked(kind, letter.edited),
        body=body,
    )


def show_letter(out: Console, letter: Letter) -> None:
    out.print(f"{letter.actor or letter.queue or 'no queue'}: {letter.reason}", style="bold red")
    settled = "no"
    if letter.settled_at is not None:
        settled = f"{letter.settled_as} {clock(letter.settled_at)}"
        settled += f" by {letter.settled_by}" if letter.settled_by else ""
    event = " ".join(part for part in (letter.event_type, letter.event_id) if part)
    out.print(
        facts(
            [
                ("letter", str(letter.id)),
                ("since", clock(letter.created_at)),
                ("settled", settled),
                ("event", event),
                ("source", letter.event_source),
                ("run", str(letter.run_id) if letter.run_id else None),
                ("field", letter.field),
                ("step", letter.step),
                ("trace", letter.trace_id),
                ("error", letter.error),
            ]
        )
    )
    if letter.attempts:
        out.print()
        rows = [
            (
                str(tried.get("attempt", "")),
                str(tried.get("at", ""))[:19].replace("T", " "),
                one_line(str(tried.get("error", ""))),
            )
            for tried in letter.attempts
        ]
        out.print(table(["ATTEMPT", "FAILED AT", "ERROR"], rows))
    out.print()
    out.print(_payload(letter), soft_wrap=True)
    if letter.edited is not None:
        out.print()
        out.print("replayed with", style="bold")
        out.print(_short(json.dumps(letter.edited, ensure_ascii=False, indent=2)), soft_wrap=True)
    if letter.settled_at is None:
        out.print()
        out.print(f"callboard dead replay {letter.id}", style="dim", soft_wrap=True)
        out.print(f"callboard dead discard {letter.id}", style="dim", soft_wrap=True)


def _payload(letter: Letter) -> str:
    if letter.payload is None:
        return _short((letter.body or b"").decode(errors="replace"))
    return _short(json.dumps(letter.payload, ensure_ascii=False, indent=2))


def _short(text: str) -> str:
    shown = printable(text[:BODY_LIMIT])
    if len(text) <= BODY_LIMIT:
        return shown
    return f"{shown}\n… {len(text) - BODY_LIMIT} more characters: --json has them"
