"""`callboard erase`: what is about a person is forgotten."""

from typing import Annotated

import typer

from broker.erase import Found, digest, find
from broker.erase import erase as erase_found
from broker.topology import topology
from ops.choosing import Who, Yes, person
from ops.cli.cancelling import cancel_all
from ops.cli.screen import console, facts
from ops.cli.session import confirmed, connected, loaded, publishing, settings_of_command
from schemas import registered
from schemas.people import PersonErasureRequested


def erase(
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="The person's id, as events name it.")],
    plan: Annotated[bool, typer.Option("--plan", help="Say how much there is, and do nothing.")] = False,
    cancelling: Annotated[bool, typer.Option("--cancel", help="Cancel what is under way first.")] = False,
    by: Who = None,
    yes: Yes = False,
) -> None:
    """Erase payloads, results, errors and broadcasts of all runs that are about a person, and of what these have caused.

    Events are about whom their `subject` or a field marked SUBJECT names. Rows stay, without what was in them; actors that hear
    person.erasure.requested erase what their domains keep. Exit status 1 while something is under way.
    """
    settings = settings_of_command()
    app = loaded(settings)
    with connected(settings) as connection:
        found = find(connection, subject, registered())
        out = console()
        if plan:
            out.print(_told(found))
            return
        if not confirmed(f"Erase {len(found.runs) + len(found.live)} runs for ever?", yes=yes):
            raise typer.Exit(1)
        if found.live and cancelling:
            house = topology(settings.namespace, {})
            cancel_all(connection, house, found.live, person(by), "its person is erased")
            found = find(connection, subject, registered())
        erase_found(connection, subject, found, person(by))
        out.print(
            f"erased {len(found.runs)} runs, {len(found.letters)} messages, {len(found.recorded)} kept events"
        )
    hearing = [actor.name for actor in app.actors if PersonErasureRequested in actor.hears]
    if hearing:
        with publishing(settings) as publisher:
            publisher.publish(PersonErasureRequested(person_id=subject))
        out.print(
            f"asked {', '.join(hearing)} to erase what their domains keep: callboard runs --type person.erasure.requested"
        )
    out.print(f"noted in the audit as {digest(subject)}", style="dim")
    out.print("not reached: messages inside RabbitMQ, logs, traces that have left, backups", style="dim")


def _told(found: Found) -> object:
    return facts(
        [
            ("runs", f"{len(found.runs)} to erase"),
            ("under way", f"{len(found.live)} runs, {found.moving} messages"),
            ("dead letters", f"{len(found.letters)} without a run"),
            ("kept events", str(len(found.recorded))),
        ]
    )
