"""Say that a letter was given up: in the log, where the support desk looks."""

import json

from actors.emails import store
from actors.emails.sending import Asked, addressed, kind_of
from broker import NonRetriable, Run, actor
from schemas import Failure, SchemaError, validate

MAX_ERROR = 2_000


@actor(title="Mark E-Mail as Failed")
def fail(event: Failure, run: Run) -> None:
    if event.run_id is None:
        raise NonRetriable(f"dead letter {event.dead_letter_id} is about no run")
    asked = _asked(event)
    about, recipient = addressed(asked)
    run.write(
        store.FAILED,
        {
            "run_id": event.run_id,
            "kind": kind_of(asked),
            "about": about,
            "recipient": recipient,
            "error": f"{event.reason}: {event.error}"[:MAX_ERROR],
        },
    )


def _asked(event: Failure) -> Asked:
    """What was given up. Raises NonRetriable where it says of no letter: the dead letter itself is kept."""
    told = event.event
    try:
        found = validate(told.type, told.version, json.dumps(told.data).encode()) if told else None
    except SchemaError as error:
        raise NonRetriable(
            f"dead letter {event.dead_letter_id} holds an event that cannot be read"
        ) from error
    if not isinstance(found, Asked):
        raise NonRetriable(f"dead letter {event.dead_letter_id} is about no letter")
    return found
