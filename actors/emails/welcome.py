"""Welcome a new user by e-mail."""

from actors.emails import providers
from actors.emails.fail import fail
from actors.emails.sending import GENTLY, TIME_LIMIT, Sent, send
from broker import EMAIL, Run, actor
from schemas.emails import EmailWelcome


@actor(
    title="Send Welcome E-Mail",
    retry=EMAIL.with_attempts(2),
    throttle=GENTLY,
    time_limit=TIME_LIMIT,
    on_failure=fail,
)
def welcome(event: EmailWelcome, run: Run) -> Sent:
    subject = f"Welcome to {providers.settings().store}"
    return send(run, event, subject, {"name": event.name})
