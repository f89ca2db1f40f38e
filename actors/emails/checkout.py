"""What a store's web calls when it has been paid: the order and its letter in the caller's own transaction.

with connection.transaction():
    purchased(connection, publisher, purchase, "ada@example.com")        # and answer {"received": true}
"""

from psycopg import Connection

from actors.emails import store
from actors.emails.store import Purchase
from broker import Publisher
from schemas.emails import EmailPurchaseConfirmation


def purchased(connection: Connection, publisher: Publisher, purchase: Purchase, customer_email: str) -> bool:
    """Place the order as `processing` and ask for its confirmation; commits with the caller, who waits for no mail server.

    False if the order was there already: its letter was asked for then. Raises psycopg errors.
    """
    if not store.place(connection, purchase, customer_email):
        return False
    asked = EmailPurchaseConfirmation(order_id=purchase.order_id, customer_email=customer_email)
    publisher.publish(asked, id=f"purchase {purchase.order_id}", connection=connection)
    return True
