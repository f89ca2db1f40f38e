"""`callboard publish`: hand an event over, validated, from a shell or a script."""

import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from broker import CallboardError, ConfigurationError, PublishError
from broker.errors import InvalidEventError
from broker.wiring import known_event, nearest
from ops.boot import App
from ops.cli import completion
from ops.cli.screen import errors
from ops.cli.session import connected, loaded, publishing, settings_of_command
from schemas import Event, InvalidPayload, normalise, parse, registered, uuid7, validate

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|min|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


def publish(
    type: Annotated[
        str,
        typer.Argument(
            metavar="TYPE",
            help="The event's type, such as page.scan.requested.",
            autocompletion=completion.events,
        ),
    ],
    data: Annotated[
        str, typer.Argument(metavar="JSON|-|@FILE", help="Its payload: JSON, - for standard input, or @file.")
    ],
    id: Annotated[
        str | None, typer.Option("--id", help="The event's id; the same id again starts nothing twice.")
    ] = None,
    delay: Annotated[
        str | None,
        typer.Option("--delay", help="Deliver no earlier than this from now: 90s, 15m, 1h30m, 2d."),
    ] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", help="What the event is about, for those who filter.")
    ] = None,
) -> None:
    """Publish one event; prints its id once the event is safe."""
    settings = settings_of_command()
    app = loaded(settings)
    event = _event(type, _read(data))
    waits = _length(delay) if delay is not None else None
    if waits:
        # A delayed event is a row: a missing table or server is told here, in words.
        with connected(settings) as connection:
            connection.execute("select 1 from outbox limit 0")
    known = id or str(uuid7())
    try:
        with publishing(settings) as publisher:
            publisher.publish(event, id=known, delay=waits, subject=subject)
    except PublishError as error:
        raise PublishError(
            f"{error}; once one of them is back, publish it again with --id {known}"
        ) from error
    print(known)
    _remark(app, event, known)


def _remark(app: App, event: Event, id: str) -> None:
    """For a person: who will hear it, and where to look."""
    heard = [actor.name for actor in app.actors if isinstance(event, actor.hears)]
    out = errors()
    if not heard:
        out.print(
            f"no loaded actor hears {event.event_type}: unless other services do, it is kept as a dead letter 'unheard'",
            style="yellow",
            soft_wrap=True,
        )
    elif out.is_terminal:
        out.print(
            f"heard by {', '.join(sorted(heard))}; see `callboard why {id}`", style="dim", soft_wrap=True
        )


def _read(data: str) -> bytes:
    if data == "-":
        return sys.stdin.buffer.read()
    if not data.startswith("@"):
        return data.encode()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise CallboardError(f"{data[1:]} cannot be read: {error.strerror}") from error


def _event(type: str, data: bytes) -> Event:
    """Raises ConfigurationError with the nearest types, InvalidEventError naming each field at fault."""
    name = normalise(type)
    by_type = {kind.event_type: kind for kind in registered()}
    if name not in by_type:
        near = nearest(name, by_type) or f"; there are {', '.join(sorted(by_type))}"
        raise ConfigurationError(f"no event is named {type!r}{near}")
    kind = known_event(name)
    try:
        # Strictly first: validation alone takes the last of two equal keys, and drops what the event does not have.
        parse(data)
        return validate(kind.event_type, kind.event_version, data)
    except InvalidPayload as error:
        raise InvalidEventError(f"nothing was published: {error}", field=", ".join(error.fields)) from error


def _length(text: str) -> timedelta:
    parts = _PART.findall(text.replace(" ", ""))
    if not parts or "".join(number + unit for number, unit in parts) != text.replace(" ", ""):
        raise CallboardError(f"--delay {text!r} is no length of time: write 90s, 15m, 1h30m or 2d")
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))
