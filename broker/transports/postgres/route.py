"""Routing in SQL: a batch of wire messages becomes `delivery` rows, one a queue that hears the message.

The transport's writer thread uses it, and the journal inside its own transaction: nothing here commits or
notifies.
"""

import json
from collections.abc import Sequence
from typing import Any

import psycopg

from broker.transports.base import WireMessage

# Arrays are sent in binary: as text, each quote of each header is escaped by the client, 60 µs a message.
# Ordered, so that the identity follows the order in which one publisher published.
ROUTE = """
with routed as (
    insert into delivery (queue, body, headers, content_type)
    select case when message.direct then message.routing_key else coalesce(binding.queue, %(unheard)s) end,
           message.body, message.headers::jsonb, message.content_type
    from unnest(%(routing_keys)b::text[], %(bodies)b::bytea[], %(headers)b::text[], %(content_types)b::text[],
                %(directs)b::boolean[])
         with ordinality as message (routing_key, body, headers, content_type, direct, place)
    left join binding on binding.event_type = message.routing_key and not message.direct
    order by message.place, binding.queue
    returning queue
)
select distinct queue from routed
"""

# Served by delivery_held. Locked in the order of ids, as the claims delete them: no deadlock with a journal.
RELEASE_HELD = """
with held as (select id from delivery where held_by = %(worker)s order by id for update)
update delivery set held_by = null, redelivered = true from held where delivery.id = held.id
returning delivery.queue
"""
"""Free every row of one worker: at its own close, or by the leader that found it dead. Returns the queues,
one a row, for `nudge` after the commit."""


def route(cursor: psycopg.Cursor[Any], messages: Sequence[WireMessage], unheard_queue: str) -> set[str]:
    """Insert the messages in one statement, return the queues that got something. The caller commits.

    A message that no binding hears goes to `unheard_queue`. Raises psycopg.DataError or UnicodeError for a
    message that PostgreSQL cannot hold (NUL in a key or header, a lone surrogate); it does not say which one.
    """
    if not messages:
        return set()
    cursor.execute(
        ROUTE,
        {
            "unheard": unheard_queue,
            "routing_keys": [message.routing_key for message in messages],
            "bodies": [message.body for message in messages],
            "headers": [json.dumps(dict(message.headers)) for message in messages],
            "content_types": [message.content_type for message in messages],
            "directs": [message.direct for message in messages],
        },
    )
    return {row[0] for row in cursor.fetchall()}
