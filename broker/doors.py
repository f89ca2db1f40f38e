"""The doors of a broker, as the journal asks them: every policy that decides *when*, in the broker's one order."""

from collections.abc import Callable, Sequence

from psycopg import Connection

from broker.broker import CallboardBroker
from broker.gathering import MOST_GATHERED
from broker.journal.claimed import ClaimedRun
from broker.journal.doors import Asked, Left
from broker.journal.intents import End, Outgoing
from broker.middleware.base import Door, Visit
from broker.topology import Topology
from schemas import Event, InvalidPayload, UnknownType, UnknownVersion, validate


class PolicyDoors:
    """`refused` makes the end of a run that a door gave up."""

    def __init__(
        self, broker: CallboardBroker, topology: Topology, refused: Callable[[ClaimedRun, str], End]
    ) -> None:
        self._actors = {
            name: actor for actor in broker.declared.values() for name in (actor.name, *actor.aliases)
        }
        self._topology = topology
        self._refused = refused
        self._doors = [policy for policy in broker.policies if isinstance(policy, Door)]
        self._changing = [door for door in self._doors if type(door).guards_now is not Door.guards_now]
        guarding = {
            door: {name for name, a in self._actors.items() if door.guards(a)} for door in self._doors
        }
        self._guarded = {name for names in guarding.values() for name in names}
        self._gathering = {
            name: MOST_GATHERED if policy.collects else 1
            for name, a in self._actors.items()
            if (policy := a.policies.gathering) is not None
        }
        self._minding = any(door.minds_left and guarding[door] for door in self._doors)

    def guards(self, actor: str) -> bool:
        return actor in self._guarded or (
            actor in self._actors and any(door.guards_now() for door in self._changing)
        )

    def minds(self, left: Sequence[Left]) -> bool:
        return self._minding

    def gathers(self, actor: str) -> int:
        return self._gathering.get(actor, 0)

    def read(self, run: ClaimedRun) -> Event | None:
        try:
            # The doors go by its own event, before and after it has gathered: its keys were taken for that one.
            if run.sources:
                return validate(run.envelope.type, run.envelope.version, run.envelope.data)
            return run.read()
        except (InvalidPayload, UnknownType, UnknownVersion):
            return None

    def ask(self, connection: Connection, asked: Sequence[Asked], left: Sequence[Left]) -> list[Outgoing]:
        visit = Visit(connection.cursor(), asked, [*left], self._actors, self._topology)
        for door in self._doors:
            door.ask(visit)
        for door in reversed(self._doors):
            door.settle(visit)
        return visit.leaving

    def given_up(self, claimed: ClaimedRun, reason: str) -> End:
        return self._refused(claimed, reason)
