"""Saying which server cannot be reached, and why: one line, without a user name or a password."""

import logging
import re
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from broker import Settings, logs
from broker.errors import CallboardError
from broker.logs import redact

_BEFORE_THE_REASON = re.compile(r"^.*(?:failed: |\[Errno -?\d+\] )")


_NO_REASON = (
    "Is the server running",
    "Multiple connection",
    "- host",
    "This probably means",
    "before or while processing",
)
"""How lines begin that libpq writes below its reason."""
# What libpq says of an encrypted link that it refuses; its own advice is to switch the check off.
_TLS_ADVICE = (
    ("does not match host name", "connect by a name that the certificate holds"),
    (
        "certificate verify failed",
        "name the authority that has signed the server's certificate with sslrootcert=",
    ),
    ("root certificate file", "name the file of the authority with sslrootcert="),
    (
        "does not support SSL",
        "switch encryption on at the server (ssl = on); the link would be plain without",
    ),
    ("certificate required", "the server asks for a certificate of ours: name it with sslcert= and sslkey="),
    ("requires a valid client certificate", "name our certificate with sslcert= and sslkey="),
    (", no encryption", "the server takes encrypted links only: add sslmode=verify-full"),
)


class UnreachableError(CallboardError):
    """A server of ours does not answer; the message names it and what to look at."""


def database_place(settings: Settings) -> str:
    """`PostgreSQL at host:port/database`, or the folder of its socket."""
    try:
        parts = conninfo_to_dict(settings.database_url.get_secret_value())
    except psycopg.ProgrammingError:
        return "PostgreSQL (CALLBOARD_DATABASE_URL is no connection string)"
    host = parts.get("host") or parts.get("hostaddr") or "localhost"
    place = str(host) if str(host).startswith("/") else f"{host}:{parts.get('port') or 5432}"
    return f"PostgreSQL at {place}/{parts.get('dbname') or ''}".rstrip("/")


def broker_place(settings: Settings) -> str:
    """`RabbitMQ at host:port`, all nodes of a cluster."""
    places = [urlsplit(url).netloc.rpartition("@")[2] for url in settings.broker_urls]
    return "RabbitMQ at " + ", ".join(places)


def unreachable(settings: Settings, error: psycopg.Error) -> UnreachableError:
    """What a failed connection to the database means to whoever typed the command."""
    place = database_place(settings)
    advice = "look whether it runs and whether CALLBOARD_DATABASE_URL is right"
    if settings.data.joinpath("env").exists():
        advice += f" (after ./ops/run: `. {settings.data}/env`)"
    return UnreachableError(f"{place} cannot be used: {reason_of(error)}; {advice}")


def reason_of(error: BaseException) -> str:
    """The last line of an error, which is libpq's reason; redacted. For an encrypted link also what to do."""
    if isinstance(error, psycopg.OperationalError):
        for words, advice in _TLS_ADVICE:
            for line in redact(str(error)).splitlines():
                if words in line:
                    return f"{_BEFORE_THE_REASON.sub('', line).strip()}: {advice}"
    lines = [line.strip() for line in redact(str(error)).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(_NO_REASON)]
    text = (told or lines or [type(error).__name__])[-1]
    return _BEFORE_THE_REASON.sub("", text) or text


def configure_logs(settings: Settings, level: str | None = None) -> None:
    """As the settings say, or no more than `level`. pika tells each refused connection in seven errors of its own; our
    transport tells it in one line."""
    logs.configure(level or settings.log_level, json=settings.log_json)
    logging.getLogger("pika").setLevel(logging.CRITICAL)
