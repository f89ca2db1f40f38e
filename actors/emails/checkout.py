"""What a store's web calls when it has been paid: the order and its letter in the caller's own transaction.

with connection.transaction():
    purchased(connection, publisher, purchase, "ada@example.com")        # and answer {"received": true}
"""

from psycopg import Connection

from actors.emails import store
from actors.emails.store import Purchase
from broker import Publisher
from schemas.emails import EmailPurchaseConfirmation


def purchased(connection: Connection, publisher: Publisher, purchase: Purchase, customer_email: str) -> str:
    """Place the order as `processing` and ask for its confirmation; commits with the caller, who waits for no mail server.

    Returns the event's id, which is the same for the same order: called twice, it places and sends nothing more. Raises psycopg
    errors.
    """
    event_id = f"purchase {purchase.order_id}"
    if store.place(connection, purchase, customer_email):
        asked = EmailPurchaseConfirmation(order_id=purchase.order_id, customer_email=customer_email)
        publisher.publish(asked, id=event_id, connection=connection)
    return event_id
