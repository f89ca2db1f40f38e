"""How every letter is sent: a row that says so, then the letter, then the row's end with the run's."""

from datetime import timedelta
from typing import cast

from pydantic import BaseModel

from actors.emails import providers, store
from actors.emails.letters import written
from actors.emails.mail import Letter
from broker import Run, Throttle, judged
from schemas import Event
from schemas.emails import EmailPurchaseConfirmation, EmailRefundNotification, EmailWelcome

Asked = EmailPurchaseConfirmation | EmailRefundNotification | EmailWelcome
TIME_LIMIT = timedelta(seconds=70)


def addressed(asked: Asked) -> tuple[str, str]:
    """What the letter is about, and who gets it."""
    if isinstance(asked, EmailWelcome):
        return asked.user_id, asked.email
    return asked.order_id, asked.customer_email


def recipient_domain(event: Event) -> str:
    """Whose server gets it; the key of the throttle."""
    _, recipient = addressed(cast("Asked", event))
    return recipient.rpartition("@")[2].lower()


GENTLY = Throttle(60, per=timedelta(minutes=1), burst=10, key=recipient_domain)
"""Of one kind of letter to one domain: large providers put off who sends faster. The others wait; nothing is dropped."""


class Sent(BaseModel):
    """What the service has taken."""

    provider: str
    message_id: str


def kind_of(asked: Asked) -> str:
    """`purchase_confirmation`, as its templates are named."""
    return type(asked).event_type.removeprefix("email.")


def send(run: Run, asked: Asked, subject: str, facts: dict[str, object]) -> Sent:
    """Two steps, and the row's end with the run's. A finished step is not repeated: a retry sends no second letter."""
    kind, (about, recipient) = kind_of(asked), addressed(asked)
    run.step("log-pending", store.open_log, run.id, kind, about, recipient, transactional=True)
    letter = written(kind, run.idempotency_key("send"), recipient, subject, providers.settings(), facts)
    sent = run.step("send", _send, letter)
    run.write(store.SENT, {"run_id": run.id, **sent.model_dump()})
    return sent


def _send(letter: Letter) -> Sent:
    mailer = providers.mailer()
    with judged():
        return Sent(provider=mailer.name, message_id=mailer.send(letter))
