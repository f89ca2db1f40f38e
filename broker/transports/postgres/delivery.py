"""One hand-over of one `delivery` row, which stays held by this worker until it is deleted or given back."""

from collections.abc import Mapping
from typing import Protocol

from broker.transports.base import Delivery


class Books(Protocol):
    """Where a delivery is settled: the consumer's `Slots`."""

    @property
    def closed(self) -> bool: ...
    def ack(self, delivery: "PostgresDelivery") -> None: ...
    def give_back(self, delivery: "PostgresDelivery") -> None: ...


class PostgresDelivery(Delivery):
    """A row in hand. The claim's commit deletes it and sets `deleted`; then `ack` is free of statements."""

    __slots__ = ("_books", "deleted", "id", "settled")

    def __init__(
        self,
        books: Books,
        row_id: int,
        queue: str,
        body: bytes,
        headers: Mapping[str, str],
        content_type: str,
        *,
        redelivered: bool,
    ) -> None:
        super().__init__(queue, body, headers, content_type, redelivered=redelivered, row_id=row_id)
        self._books = books
        self.id = row_id
        self.settled = False
        self.deleted = False
        """Set by whoever has committed the deletion of the row: `ack` then only frees the place."""

    @property
    def alive(self) -> bool:
        """A row outlives every connection; it is lost only with the close of its transport."""
        return not self._books.closed

    def mark_deleted(self) -> None:
        """The row is gone by a committed transaction of the caller."""
        self.deleted = True

    def ack(self) -> None:
        self._books.ack(self)

    def give_back(self) -> None:
        self._books.give_back(self)
