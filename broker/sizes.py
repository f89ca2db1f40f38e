"""The soft limit of an event's size: past it everything works, and the log says which type is on its way to the hard one."""

import structlog

from broker.seldom import Seldom
from schemas import Envelope

log = structlog.get_logger(__name__)

SOFT_BYTES = 256 * 1024
"""A quarter of the hard limit; RabbitMQ's quorum queues and the journal are at their best far below."""

_said = Seldom()


def remark(envelope: Envelope, soft_bytes: int, where: str) -> None:
    """Warn of large data, once a minute for each type in a process. `where` is `published` or `claimed`."""
    size = len(envelope.data)
    if size > soft_bytes and _said.due(f"{where} {envelope.type}"):
        log.warning(
            "event_large",
            where=where,
            event_id=envelope.id,
            event_type=envelope.type,
            size_bytes=size,
            soft_bytes=soft_bytes,
            advice="put the large part into a file store and publish its address",
        )
