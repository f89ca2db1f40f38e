"""Making the topology exist: exchanges, queues and bindings on the transport, and the record of them in PostgreSQL."""

from dataclasses import replace

from broker.database import Database
from broker.topology import Binding, Topology
from broker.transports.base import Transport

_BOUND = "select event_type, queue from binding where queue = any(%s)"
_FORGET = "delete from binding where queue = any(%s)"
_REMEMBER = "insert into binding (event_type, queue) select * from unnest(%s::text[], %s::text[]) on conflict do nothing"


def declare(database: Database, transport: Transport, topology: Topology) -> list[Binding]:
    """Declare, remove bindings that an earlier deployment of these queues made and this one does not want, remember.

    Returns what was removed. May be repeated; commits. AMQP cannot list bindings, hence the record.
    """
    queues = list(topology.queues)
    with database.once("declare") as connection:
        before = [Binding(*row) for row in connection.execute(_BOUND, (queues,)).fetchall()]
    stale = [binding for binding in before if binding not in topology.bindings]
    transport.declare(topology, stale=stale)
    with database.once("declare") as connection, connection.transaction():
        connection.execute(_FORGET, (queues,))
        connection.execute(
            _REMEMBER, ([b.event_type for b in topology.bindings], [b.queue for b in topology.bindings])
        )
    return stale


def declare_as_found(database: Database, transport: Transport, topology: Topology) -> None:
    """Make queues exist, bound as the last deployment has left them: for a process that is started again in the middle of one.

    An older program would otherwise take away the bindings of the newer one that is replacing it. May be repeated.
    """
    with database.once("declare") as connection:
        rows = connection.execute(_BOUND, ([*topology.queues, topology.recorder],)).fetchall()
    transport.declare(replace(topology, bindings=tuple(Binding(*row) for row in rows)))
