"""What should wake somebody, held against limits that are settings: `callboard alerts check`. Reads only."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from broker import Settings
from broker.retention import before
from ops.doctor.alert_settings import AlertSettings
from ops.doctor.finding import rough
from ops.doctor.patient import Patient, admitted
from ops.doctor.work import DUE, OPEN_LETTERS

LEAST_RUNS = 20
"""Below so many finished runs a share of failures says nothing."""

_KEPT = "select (select count(*) from delivery), (select count(*) from outbox where send_at < clock())"
# Ids are in order of time; there is no index on when a run finished.
_FINISHED = """
select count(*) filter (where status = 'failed'), count(*) filter (where status in ('completed', 'failed'))
from run where id > %(since)s"""
_BEGAN = "select clock() - %(window)s::interval"


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that is watched. `found` and `limit` are words for people."""

    name: str
    alarm: bool
    found: str
    limit: str


def check(settings: Settings, limits: AlertSettings) -> list[Alert]:
    """All of them, in the same order. A server that cannot be asked gives alarm itself; what needs it is left out."""
    with admitted(settings) as patient:
        return list(_alerts(patient, limits))


def _alerts(patient: Patient, limits: AlertSettings) -> Iterator[Alert]:
    for server in ("postgresql", "rabbitmq"):
        if why := patient.trouble.get(server):
            yield Alert(server, alarm=True, found=why, limit="answers")
    if "tables" in patient.trouble:
        if "postgresql" not in patient.trouble:
            yield Alert(
                "postgresql", alarm=True, found="no tables of ours: `callboard migrate`", limit="answers"
            )
        return
    due, late = _due(patient)
    if patient.on_rabbitmq and (why := patient.trouble.get("actors")):
        yield Alert(
            "backlog", alarm=True, found=f"no queue is known without the code: {why}", limit="counted"
        )
    elif "rabbitmq" not in patient.trouble:
        waiting = due + _kept(patient) + _in_rabbitmq(patient)
        yield _counted("backlog", waiting, limits.backlog, "wait for a worker")
    yield Alert(
        "late", late > limits.late, f"a run is due for {rough(late)}" if late else "none", rough(limits.late)
    )
    (letters,) = patient.one(OPEN_LETTERS)
    yield _counted("dead letters", _number(letters), limits.dead_letters, "open")
    yield _failures(patient, limits)
    yield _workers(patient)


def _counted(name: str, found: int, limit: int, what: str) -> Alert:
    return Alert(name, found > limit, f"{found} {what}", f"at most {limit}")


def _failures(patient: Patient, limits: AlertSettings) -> Alert:
    (began,) = patient.one(_BEGAN, {"window": limits.failure_window})
    assert isinstance(began, datetime)
    failed, ended = map(_number, patient.one(_FINISHED, {"since": before(began)}))
    alarm = ended >= LEAST_RUNS and failed / ended > limits.failure_share
    found = f"{failed} of {ended} runs in {rough(limits.failure_window)}"
    return Alert("failures", alarm, found, f"at most {limits.failure_share:.1%}")


def _workers(patient: Patient) -> Alert:
    silent = [worker.name for worker in patient.workers if worker.silent > patient.settings.lease]
    alive = len(patient.alive)
    found = f"{alive} alive" + (f", silent: {', '.join(silent)}" if silent else "")
    return Alert("workers", bool(silent) or not alive, found, "one alive, none silent")


def _due(patient: Patient) -> tuple[int, timedelta]:
    count, late = patient.one(DUE)
    return _number(count), late if isinstance(late, timedelta) else timedelta(0)


def _kept(patient: Patient) -> int:
    """What the database holds for transports."""
    return sum(map(_number, patient.one(_KEPT)))


def _in_rabbitmq(patient: Patient) -> int:
    if not patient.on_rabbitmq:
        return 0
    return sum(patient.amqp.queue(patient.topology, name).messages for name in patient.topology.queues)


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value
