"""One dead letter as a person reads it."""

import contextlib
import json

from rich.console import Console

from broker.dead_letters import Letter
from ops.cli.screen import clock, facts, one_line, printable, table

BODY_LIMIT = 4_000
"""Characters of a payload; `--json` has all of it."""


def show_letter(out: Console, letter: Letter) -> None:
    out.print(f"{letter.actor or letter.queue or 'no queue'}: {letter.reason}", style="bold red")
    settled = f"{letter.settled_as} {clock(letter.settled_at)}" if letter.settled_at is not None else "no"
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
    if letter.settled_at is None:
        out.print()
        out.print(f"callboard dead replay {letter.id}", style="dim", soft_wrap=True)
        out.print(f"callboard dead discard {letter.id}", style="dim", soft_wrap=True)


def _payload(letter: Letter) -> str:
    text = (letter.body or b"").decode(errors="replace")
    with contextlib.suppress(ValueError):
        event = letter.event if letter.event is not None else json.loads(text)
        text = json.dumps(event, ensure_ascii=False, indent=2)
    shown = printable(text[:BODY_LIMIT])
    return (
        shown
        if len(text) <= BODY_LIMIT
        else f"{shown}\n… {len(text) - BODY_LIMIT} more characters: --json has them"
    )
