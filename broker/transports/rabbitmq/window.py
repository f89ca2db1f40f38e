"""What is in flight on one confirm channel: which tags belong to which batch, and what a confirm
completes."""

from collections.abc import Sequence
from concurrent.futures import Future
from time import monotonic

from broker.transports.base import WireMessage
from broker.transports.rabbitmq.connection import Channel


class Batch:
    """What one call of `publish` handed over."""

    __slots__ = ("deadline", "first", "future", "messages", "sent_at", "unconfirmed")

    def __init__(self, messages: Sequence[WireMessage], future: Future[None], deadline: float) -> None:
        self.messages, self.future, self.deadline = messages, future, deadline
        self.unconfirmed = len(messages)
        self.first = 0
        self.sent_at = 0.0

    @property
    def summary(self) -> str:
        more = f" and {len(self.messages) - 1} more" if len(self.messages) > 1 else ""
        return repr(self.messages[0].routing_key) + more


class Window:
    """What one confirm channel has in flight. Its tags mean nothing on another channel."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.flying: dict[Batch, None] = {}
        self._by_tag: dict[int, Batch] = {}
        self._last = 0
        self._lowest = 1

    def add(self, batch: Batch) -> None:
        self.flying[batch] = None
        batch.sent_at = monotonic()
        batch.first = self._last + 1
        self._last += len(batch.messages)
        self._by_tag.update(dict.fromkeys(range(batch.first, self._last + 1), batch))

    def confirm(self, tag: int, *, multiple: bool) -> list[Batch]:
        """The batches that this confirm completes."""
        complete: list[Batch] = []
        for each in self._tags(tag, multiple=multiple):
            batch = self._by_tag.pop(each, None)
            if batch is not None:
                batch.unconfirmed -= 1
                if not batch.unconfirmed:
                    complete.append(batch)
        if multiple:
            self._lowest = max(self._lowest, tag + 1)
        return complete

    def routing_key(self, tag: int) -> str:
        batch = self._by_tag.get(tag)
        return "a message" if batch is None else batch.messages[tag - batch.first].routing_key

    def batches_with(self, tag: int, *, multiple: bool) -> list[Batch]:
        found = (self._by_tag.get(each) for each in self._tags(tag, multiple=multiple))
        return list(dict.fromkeys(batch for batch in found if batch is not None))

    def batches_to(self, key: str, *, direct: bool) -> list[Batch]:
        return [
            batch
            for batch in self.flying
            if any(each.routing_key == key and each.direct is direct for each in batch.messages)
        ]

    def _tags(self, tag: int, *, multiple: bool) -> Sequence[int]:
        return range(self._lowest, tag + 1) if multiple else (tag,)
