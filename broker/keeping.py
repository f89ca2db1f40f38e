"""The keeper of a process, with all that it looks after."""

from collections.abc import Callable, Sequence

from broker.broker import CallboardBroker
from broker.cancel_sweep import CancelSweep
from broker.journal.batch import Identity
from broker.journal.claimed import ClaimedRun
from broker.journal.intents import End
from broker.keeper import Keeper, Sweep
from broker.middleware.trace import Trace
from broker.outbox import Relay
from broker.pause import PauseSweep
from broker.publisher import Publisher
from broker.retention import Retention
from broker.schedules.schedule import Schedule
from broker.schedules.scheduler import Scheduler
from broker.settings import Settings
from broker.slots import SlotSweep
from broker.takeover import Takeover
from broker.timers import Timers
from broker.transports.base import Transport
from broker.wait_sweep import WaitSweep


def keeper_of(
    settings: Settings,
    broker: CallboardBroker,
    transport: Transport,
    identity: Identity,
    *,
    bury: Callable[[ClaimedRun], End],
    hears: Sequence[Sweep],
    schedules: Sequence[Schedule],
) -> Keeper:
    """`bury` words the end of a run that has killed its workers; `hears` is what this process looks after, leading or not."""
    topology = broker.topology()
    publisher = Publisher(
        transport,
        settings.source,
        settings.database,
        broker.policy(Trace),
        settings.hard_event_bytes,
        settings.soft_event_bytes,
    )
    return Keeper(
        settings.database,
        identity,
        takeover=Takeover(
            identity.id,
            settings.database.label,
            lease=settings.lease,
            crash_limit=settings.crash_limit,
            bury=bury,
        ),
        timers=Timers(transport, topology, identity.id),
        relay=Relay(transport, identity.id),
        interval=settings.sweep_interval,
        hears=hears,
        sweeps=[
            CancelSweep(topology),
            PauseSweep(),
            SlotSweep(),
            WaitSweep(topology),
            Retention(
                dedup_window=settings.dedup_window,
                steps=settings.keep_steps,
                look_back=settings.look_back,
                broadcasts=settings.broadcast_keep,
            ),
        ],
        scheduler=Scheduler(schedules, publisher),
    )
