"""Say that a letter was given up: in the log, where the support desk looks."""

from actors.emails import store
from actors.emails.sending import addressed, kind_of
from broker import NonRetriable, Run, actor, failed_event
from schemas import Failure
from schemas.emails import EmailPurchaseConfirmation, EmailRefundNotification, EmailWelcome

MAX_ERROR = 2_000


@actor(title="Mark E-Mail as Failed")
def fail(event: Failure, run: Run) -> None:
    if event.run_id is None:
        raise NonRetriable(f"dead letter {event.dead_letter_id} is about no run")
    asked = failed_event(event, EmailPurchaseConfirmation, EmailRefundNotification, EmailWelcome)
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
