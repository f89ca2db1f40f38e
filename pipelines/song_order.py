"""From a payment to finished songs."""

from actors.orders.accept import accept
from actors.orders.finalize import finalize
from actors.orders.generate import generate
from broker import Pipeline

song_order = Pipeline("song-order", accept | generate | finalize)
