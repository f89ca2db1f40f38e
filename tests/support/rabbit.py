"""Small things done to a RabbitMQ past the transport."""

from collections.abc import Iterable

import pika
from pika.exceptions import ChannelClosedByBroker


def empty_queues(url: str, queues: Iterable[str]) -> None:
    """Purge the queues that exist."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    for queue in queues:
        channel = connection.channel()
        try:
            channel.queue_purge(queue)
            channel.close()
        except ChannelClosedByBroker:
            pass
    connection.close()
