"""What must stand between publishers and actors: exchanges, queues, bindings, and somebody who listens."""

from ops.doctor.finding import Remarks, fail, ok, some, warn
from ops.doctor.patient import Patient

AT_ITS_START = "start a worker: it declares what is missing"

_BINDINGS = "select event_type, queue from binding order by event_type, queue"
_WAITING = "select queue, count(*) from delivery group by queue order by queue"


def exchanges(patient: Patient) -> Remarks:
    topology = patient.topology
    wanted: tuple[tuple[str, str, dict[str, str]], ...] = (
        (topology.events, "topic", {"alternate-exchange": topology.alternate_exchange}),
        (topology.alternate_exchange, "fanout", {}),
        (topology.dead_letter_exchange, "fanout", {}),
    )
    wrong = False
    for name, kind, arguments in wanted:
        thing = patient.amqp.exchange(name, kind, arguments)
        wrong = wrong or not thing.here or bool(thing.fault)
        if not thing.exists:
            yield fail(f"exchange {name} does not exist", AT_ITS_START)
        elif thing.unavailable:
            yield fail(
                f"exchange {name} cannot be looked at: {thing.unavailable}",
                "give the user of the URL the permissions",
            )
        elif thing.fault:
            yield fail(
                f"exchange {name} is not as needed: {thing.fault}",
                "delete it while nobody publishes, then start a worker",
            )
    if not wrong:
        yield ok(f"{len(wanted)} exchanges are as needed")


def queues(patient: Patient) -> Remarks:
    """Types and arguments are compared by the server; it names the first that differs."""
    names = (*patient.topology.house_queues, *patient.topology.queues)
    wrong = False
    for name in names:
        thing = patient.amqp.queue(patient.topology, name)
        wrong = wrong or not thing.here or bool(thing.fault)
        if not thing.exists:
            yield fail(f"queue {name} does not exist", AT_ITS_START)
        elif thing.unavailable:
            yield fail(
                f"queue {name} has no leader: {thing.unavailable}",
                "start the nodes that hold it, or look at their disks",
            )
        elif thing.fault:
            yield fail(
                f"queue {name} is not as needed: {thing.fault}",
                "RabbitMQ changes no queue in place: let it run empty, delete it, start a worker",
            )
    if not wrong:
        yield ok(f"{len(names)} queues are quorum queues with our arguments")


def bindings(patient: Patient) -> Remarks:
    """By the record in table `binding`: AMQP cannot list them. What RabbitMQ has lost shows as unheard events."""
    remembered = patient.db.execute(_BINDINGS).fetchall()
    wanted = {(each.event_type, each.queue) for each in patient.topology.bindings}
    missing = sorted(wanted - set(remembered))
    if missing:
        yield fail(f"not bound yet: {some([f'{kind} → {queue}' for kind, queue in missing])}", AT_ITS_START)
    else:
        yield ok(f"{len(wanted)} bindings are recorded")


def strangers(patient: Patient) -> Remarks:
    """Queues that are still bound for actors which nobody has loaded: events gather there."""
    if "actors" in patient.trouble or not patient.app.actors:
        yield warn("not known without the actors", "see `wiring`")
        return
    bound = {queue for _, queue in patient.db.execute(_BINDINGS).fetchall()}
    queues = sorted(bound - set(patient.topology.queues))
    if queues:
        yield warn(
            f"no loaded actor consumes {some(queues)}",
            "is the actor loaded elsewhere, fine; was it renamed, give it aliases=; is it gone, unbind and delete the queue",
        )
    else:
        yield ok("each bound queue has its actor")


def consumers(patient: Patient) -> Remarks:
    """An actor without a live worker; worse with messages that wait for it."""
    idle = _unconsumed_there(patient) if patient.on_rabbitmq else _unconsumed_here(patient)
    for queue, waiting in idle.items():
        if waiting:
            yield fail(
                f"{waiting} message(s) wait in {queue}, and nobody consumes it", "start a worker for it"
            )
    empty = sorted(queue for queue, waiting in idle.items() if not waiting)
    if empty:
        yield warn(f"nobody consumes {some(empty)}", "start a worker for it")
    if not idle:
        yield ok("each queue is consumed")


def _unconsumed_there(patient: Patient) -> dict[str, int]:
    names = (*patient.topology.house_queues, *patient.topology.queues)
    things = {name: patient.amqp.queue(patient.topology, name) for name in names}
    return {name: thing.messages for name, thing in things.items() if thing.here and not thing.consumers}


def _unconsumed_here(patient: Patient) -> dict[str, int]:
    """On `postgres` nobody knows who listens to which queue; without a live worker it is nobody."""
    if patient.alive:
        return {}
    waiting: dict[str, int] = dict(patient.db.execute(_WAITING).fetchall())
    return dict.fromkeys(patient.topology.queues, 0) | waiting
