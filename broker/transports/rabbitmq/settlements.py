"""Which deliveries of one channel are unsettled, and the fewest frames that settle some of them."""

from collections.abc import Iterable

from broker.transports.rabbitmq.frames import ack_frame, requeue_frame


class Settlements:
    """For one channel, on its I/O thread. At most `prefetch` tags are remembered.

    A tag is settled once: RabbitMQ closes the channel over a second ack (406), and everything on it is
    delivered again. `multiple` may pass over tags settled earlier, but the tag it names must itself be
    unsettled."""

    def __init__(self, channel_number: int) -> None:
        self._channel = channel_number
        self._unsettled: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._unsettled)

    def arrived(self, tag: int) -> None:
        self._unsettled[tag] = None

    def settle(self, acked: Iterable[int], returned: Iterable[int]) -> list[bytes]:
        """The frames, in the order they must be sent. Returns go first: a multiple ack would swallow them."""
        frames = [
            requeue_frame(self._channel, tag) for tag in returned if self._unsettled.pop(tag, 0) is None
        ]
        fresh = {tag for tag in acked if tag in self._unsettled}
        prefix = self._acked_prefix(fresh)
        for tag in prefix:
            del self._unsettled[tag]
        if prefix:
            frames.append(ack_frame(self._channel, prefix[-1], multiple=True))
        for tag in sorted(fresh.difference(prefix)):
            del self._unsettled[tag]
            frames.append(ack_frame(self._channel, tag, multiple=False))
        return frames

    def _acked_prefix(self, fresh: set[int]) -> list[int]:
        """The oldest unsettled tags, as far as all of them are in `fresh`."""
        prefix: list[int] = []
        for tag in self._unsettled:
            if tag not in fresh:
                break
            prefix.append(tag)
        return prefix
