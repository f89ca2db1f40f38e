"""Which dead letters and runs a command means, and the payload that a person edited."""

import getpass
import json
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import click
import typer
from pydantic import TypeAdapter, ValidationError

from broker import CallboardError
from broker.dead_letters import Filter

Ids = Annotated[
    list[str] | None, typer.Argument(metavar="ID...", help="Of dead letters, as `dead list` shows them.")
]
Reason = Annotated[str | None, typer.Option("--reason", "-r", help="Such as 'attempts used up' or unheard.")]
By = Annotated[str | None, typer.Option("--actor", "-a", help="Of this actor.")]
Kind = Annotated[str | None, typer.Option("--type", "-t", metavar="EVENT_TYPE", help="Of this event type.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Dead since then: 2h, 3d, or 2026-11-26T10:00.")
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Dead before then.")]
Error = Annotated[str | None, typer.Option("--error", metavar="TEXT", help="Whose error contains this.")]
Every = Annotated[bool, typer.Option("--all", help="All open letters, without those that nobody hears.")]
Who = Annotated[
    str | None, typer.Option("--by", metavar="NAME", help="Who does it; else the user logged in.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Data = Annotated[
    str | None,
    typer.Option(
        "--data", metavar="FILE", help="The payload to use instead, as JSON; - reads standard input."
    ),
]
FromStep = Annotated[
    str | None, typer.Option("--from-step", metavar="NAME", help="Do this step and all later ones again.")
]

_AGO = re.compile(r"^(\d+)\s*([smhd])$")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(text: str | None) -> datetime | None:
    """`2h` is two hours ago; anything else an ISO time, local to UTC unless it says otherwise."""
    if text is None:
        return None
    if ago := _AGO.match(text.strip()):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        found = TypeAdapter(datetime).validate_python(text)
    except ValidationError:
        raise CallboardError(f"{text!r} is no time: write 2h, 3d, or 2026-11-26T10:00") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def chosen(
    reason: str | None,
    actor: str | None,
    kind: str | None,
    since: str | None,
    until: str | None,
    error: str | None,
) -> Filter:
    return Filter(reason, actor, kind, moment(since), moment(until), error)


def letter_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise CallboardError(
            f"{text!r} is no id of a dead letter: `callboard dead list` shows them"
        ) from None


def run_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise CallboardError(f"{text!r} is no id of a run: `callboard runs` shows them") from None


def person(by: str | None) -> str:
    """Who acts, for the audit."""
    return by or getpass.getuser()


def edited(data: str | None, *, edit: bool, original: Mapping[str, Any] | None) -> bytes | None:
    """The payload from a file, from standard input, or from the person's editor; None when it is to stay as it is.

    Raises CallboardError for what is no JSON object."""
    if data is not None:
        text = sys.stdin.read() if data == "-" else _read(Path(data))
    elif edit:
        begun = json.dumps(original or {}, ensure_ascii=False, indent=2)
        text = click.edit(begun, extension=".json") or ""
        if not text.strip() or text == begun:
            raise CallboardError("nothing was edited, so nothing was done")
    else:
        return None
    try:
        found = json.loads(text)
    except ValueError as error:
        raise CallboardError(f"the payload is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise CallboardError("the payload must be a JSON object")
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise CallboardError(f"{path}: {error.strerror}") from None
