"""From a payment, told by webhook or as an event, to finished songs."""

from actors.orders.accept import accept
from actors.orders.checkout import paid_order
from actors.orders.finalize import finalize
from actors.orders.generate import generate
from actors.orders.settings import OrdersSettings
from broker import Pipeline, Secrets, Stripe, Webhook

song_order = Pipeline("song-order", accept | generate | finalize)
stripe = Webhook("stripe", Stripe(Secrets(OrdersSettings, "stripe_secrets")), paid_order)
