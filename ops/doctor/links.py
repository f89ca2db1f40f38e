"""The links to the servers, and who else may use them: encryption, and users of RabbitMQ who may do more than their part."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from broker.errors import CallboardError
from ops.access.rabbitmq import Account, Rights, managed, rights_of, vhost_of
from ops.doctor.finding import Remark, Remarks, fail, ok, warn
from ops.doctor.patient import Patient, on_this_machine
from ops.reach import reason_of

LOOPBACK = ("127.", "::1", "localhost")


def postgresql(patient: Patient) -> Remarks:
    """The session at hand tells."""
    if patient.db.pgconn.ssl_in_use:
        yield ok("the link to PostgreSQL is encrypted")
    elif on_this_machine(patient.settings):
        yield ok("the link to PostgreSQL does not leave this machine")
    else:
        yield warn(
            "the link to PostgreSQL is not encrypted: payloads and the password can be read on the way",
            "add sslmode=verify-full (and sslrootcert=) to CALLBOARD_DATABASE_URL",
        )


def rabbitmq(patient: Patient) -> Remarks:
    plain = [
        f"{parts.hostname}:{parts.port or 5672}"
        for parts in map(urlsplit, patient.settings.broker_urls)
        if parts.scheme == "amqp" and not str(parts.hostname).startswith(LOOPBACK)
    ]
    if plain:
        yield warn(
            f"the link to {', '.join(plain)} is not encrypted: payloads and the password can be read on the way",
            "use amqps:// with ?cacertfile= in CALLBOARD_BROKER_URL; see ops/docs/security.md",
        )
    else:
        yield ok("the link to RabbitMQ is encrypted, or does not leave this machine")


def users(patient: Patient) -> Remarks:
    """Of the virtual host, as the management plugin tells."""
    api = patient.settings.rabbitmq_api.get_secret_value()
    if not api:
        yield ok("not looked at: CALLBOARD_RABBITMQ_API is not set")
        return
    url = patient.settings.broker_urls[0]
    events = patient.topology.events
    try:
        with managed(api, vhost_of(url)) as management:
            found = management.accounts(events)
    except CallboardError as error:
        yield fail(
            f"users of RabbitMQ cannot be looked at: {reason_of(error)}", "correct CALLBOARD_RABBITMQ_API"
        )
        return
    workers = rights_of("worker", patient.topology)
    ours = urlsplit(url).username
    wrong = [
        remark for account in found if account.rights != workers for remark in _faults(account, ours, events)
    ]
    yield from wrong
    if not wrong:
        yield ok(f"{len(found)} users of RabbitMQ may do their part and no more")


def _faults(account: Account, ours: str | None, events: str) -> Iterator[Remark]:
    name, rights = account.name, account.rights
    if "administrator" in account.tags:
        if name == ours:
            yield warn(
                f"we connect as {name}, an administrator of RabbitMQ",
                "callboard setup rabbitmq NAME --as worker, and use that address",
            )
        return
    if rights is None or name == ours or not _may(rights.write, events):
        return
    if rights.topics is None:
        yield warn(
            f"user {name} may publish every event type",
            f"callboard setup rabbitmq {name} --as publisher --type TYPE",
        )
    if _may_anything(rights):
        yield warn(
            f"user {name} may declare or read what a publisher needs not",
            f"callboard setup rabbitmq {name} --as publisher --type TYPE",
        )


def _may(pattern: str, name: str) -> bool:
    """RabbitMQ's patterns are searched for; the empty one fits nothing."""
    try:
        return bool(pattern) and re.search(pattern, name) is not None
    except re.error:
        return True


def _may_anything(rights: Rights) -> bool:
    return rights.topics is not None and any(
        _may(each, "anything.at.all") for each in (rights.configure, rights.read)
    )
