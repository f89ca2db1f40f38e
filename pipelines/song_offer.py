"""From a finished order to the next one."""

from actors.notifications.notify import notify
from actors.orders.offer import offer
from broker import Pipeline

song_offer = Pipeline("song-offer", offer | notify)
