"""E-mails: what is asked for when a store has something to say to a customer."""

from typing import Annotated

from pydantic import StringConstraints

from .event import Event
from .marks import PERSONAL, SUBJECT

Address = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, max_length=254, pattern=r'^[^\s@<>"(),:;\\\[\]]+@[^\s@<>"(),:;\\\[\]]+$'
    ),
]
"""One address, nothing around it. Whether somebody reads there is the mail server's to say."""
Id = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class EmailPurchaseConfirmation(Event, type="email.purchase_confirmation"):
    order_id: Id
    customer_email: Annotated[Address, PERSONAL, SUBJECT]


class EmailRefundNotification(Event, type="email.refund_notification"):
    order_id: Id
    customer_email: Annotated[Address, PERSONAL, SUBJECT]
    refund_reason: Annotated[str, StringConstraints(max_length=1_000), PERSONAL] | None = None


class EmailRetryDue(Event, type="email.retry.due"):
    """It is time to look for letters that were given up and may go out now."""


class EmailWelcome(Event, type="email.welcome"):
    user_id: Annotated[Id, SUBJECT]
    email: Annotated[Address, PERSONAL, SUBJECT]
    name: Annotated[str, StringConstraints(max_length=200), PERSONAL] | None = None
