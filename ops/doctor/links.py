"""The links to the servers: whether they are encrypted, and whether the other side is verified."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from broker.links import VERIFIED, insists
from ops.doctor.finding import Remark, Remarks, ok, warn
from ops.doctor.patient import Patient, on_this_machine

PLAIN = "payloads and the password can be read on the way"


def postgresql(patient: Patient) -> Remarks:
    """The session at hand tells."""
    session = patient.db.pgconn
    # As in effect: from the DSN, from PGSSLMODE or from libpq's own default.
    mode = next((bytes(each.val or b"").decode() for each in session.info if each.keyword == b"sslmode"), "")
    if session.ssl_in_use and mode in VERIFIED:
        yield ok(f"the link to PostgreSQL is encrypted, and its certificate verified (sslmode={mode})")
    elif on_this_machine(patient.settings):
        yield ok("the link to PostgreSQL does not leave this machine")
    elif session.ssl_in_use:
        yield warn(
            f"the link to PostgreSQL is encrypted, but nobody checks who is at its other end (sslmode={mode})",
            "add sslmode=verify-full (and sslrootcert=) to CALLBOARD_DATABASE_URL",
        )
    else:
        yield warn(
            f"the link to PostgreSQL is not encrypted: {PLAIN}",
            "add sslmode=verify-full (and sslrootcert=) to CALLBOARD_DATABASE_URL",
        )


def rabbitmq(patient: Patient) -> Remarks:
    """An `amqps://` link is always verified."""
    wrong = list(_plain(patient))
    yield from wrong
    if not wrong:
        encrypted = all(url.startswith("amqps://") for url in patient.settings.broker_urls)
        how = "is encrypted, and its certificate verified" if encrypted else "does not leave this machine"
        yield ok(f"the link to RabbitMQ {how}")


def _plain(patient: Patient) -> Iterator[Remark]:
    places = [
        parts.netloc.rpartition("@")[2]
        for parts in map(urlsplit, patient.settings.broker_urls)
        if not insists(parts.geturl())
    ]
    if places:
        yield warn(
            f"the link to RabbitMQ at {', '.join(places)} is not encrypted: {PLAIN}",
            "use amqps:// with ?cacertfile= in CALLBOARD_BROKER_URL; see ops/docs/security.md",
        )
    api = urlsplit(patient.settings.rabbitmq_api.get_secret_value())
    if not insists(api.geturl()):
        yield warn(
            f"the link to {api.netloc.rpartition('@')[2]} is not encrypted: an administrator's password can be read on the way",
            "use https:// with ?cacertfile= in CALLBOARD_RABBITMQ_API",
        )
