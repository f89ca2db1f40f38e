"""`callboard resume`: let a paused actor or pipeline go on."""

from typing import Annotated

import typer

from broker.errors import NotFoundError
from broker.pause import Kind, paused
from broker.pause import resume as lift
from broker.wiring import nearest
from ops.choosing import Who, person
from ops.cli import completion
from ops.cli.screen import console
from ops.cli.session import connected, settings_of_command

Name = Annotated[
    str,
    typer.Argument(
        metavar="ACTOR|PIPELINE", help="As `callboard pause` lists it.", autocompletion=completion.pausable
    ),
]


def resume(name: Name, by: Who = None) -> None:
    """Let a paused actor or pipeline go on. What waits starts in the order in which it came."""
    with connected(settings_of_command()) as connection:
        # By what is paused, not by what is loaded: its code may be gone.
        there: dict[str, Kind] = {found.name: found.kind for found in paused(connection)}
        if name not in there:
            raise NotFoundError(
                f"{name!r} is not paused{nearest(name, there)}; paused now: {', '.join(there) or 'nothing'}"
            )
        was = lift(connection, there[name], name, person(by))
    many = (
        "nothing waits"
        if not was.waiting
        else "1 run goes on"
        if was.waiting == 1
        else f"{was.waiting} runs go on"
    )
    console().print(f"{was.kind} {name} is resumed: {many}")
