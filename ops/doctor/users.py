"""Users of RabbitMQ: whether ours may do a worker's part, and who may do more than theirs."""

from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from broker.errors import CallboardError
from broker.topology import Topology
from ops.access.rabbitmq import STRAIGHT, Account, lacking, managed, may, rights_of, vhost_of
from ops.doctor.finding import Remark, Remarks, fail, ok, some, warn
from ops.doctor.patient import Patient
from ops.reach import reason_of


def users(patient: Patient) -> Remarks:
    """Of the virtual host, as the management plugin tells."""
    api = patient.settings.rabbitmq_api.get_secret_value()
    if not api:
        yield ok("not looked at: CALLBOARD_RABBITMQ_API is not set")
        return
    url = patient.settings.broker_urls[0]
    try:
        with managed(api, vhost_of(url)) as management:
            found = management.accounts(patient.topology.events)
    except CallboardError as error:
        yield fail(
            f"users of RabbitMQ cannot be looked at: {reason_of(error)}", "correct CALLBOARD_RABBITMQ_API"
        )
        return
    ours = unquote(urlsplit(url).username or "guest")
    wrong = [remark for account in found for remark in _faults(account, ours, patient.topology)]
    yield from wrong
    if not wrong:
        yield ok(f"{len(found)} users of RabbitMQ may do their part and no more")


def _faults(account: Account, ours: str, topology: Topology) -> Iterator[Remark]:
    if account.name == ours:
        yield from _of_us(account, topology)
    elif "administrator" not in account.tags and account.rights != rights_of("worker", topology):
        yield from _of_others(account, topology)


def _of_us(account: Account, topology: Topology) -> Iterator[Remark]:
    fix = "callboard setup rabbitmq NAME --as worker, and use that address"
    if lacks := lacking(account.rights, topology):
        yield fail(f"our user {account.name} may not {some(lacks)}", fix.replace("NAME", account.name))
    if "administrator" in account.tags:
        yield warn(f"we connect as {account.name}, an administrator of RabbitMQ", fix)


def _of_others(account: Account, topology: Topology) -> Iterator[Remark]:
    name, rights = account.name, account.rights
    if rights is None:
        return
    fix = f"callboard setup rabbitmq {name} --as publisher --type TYPE"
    if may(rights.write, topology.events) and rights.topics is None:
        yield warn(f"user {name} may publish every event type", fix)
    if may(rights.write, STRAIGHT):
        yield warn(
            f"user {name} may send straight to every queue, past the types it may publish",
            f"{fix}; a worker of another namespace is to have a virtual host of its own",
        )
    queues = (*topology.queues, *topology.house_queues)
    if reached := [each for each in queues if may(rights.configure, each) or may(rights.read, each)]:
        yield warn(f"user {name} may declare or read {some(reached)}", fix)
