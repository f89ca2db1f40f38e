"""Publish from a service that has nothing but this package: over HTTP with the standard library, over AMQP with pika."""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from schemas import Envelope, Event, wrap


class PublishError(Exception):
    """It may or may not be kept: publish the same id again. `status` is the answer's, 0 without one; `answer` what it said. After
    401 or 403 it is not kept: a right is lacking."""

    def __init__(self, message: str, status: int = 0, answer: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.answer = answer


@dataclass(frozen=True)
class HttpPublisher:
    """`url` is that of `callboard web`, `key` an event key, `source` the name of your service."""

    url: str
    key: str
    source: str
    timeout: float = 10.0
    """Seconds for one request."""

    def publish(self, event: Event, *, id: str | None = None, subject: str | None = None) -> str:
        """The event's id, once it is kept. Give an id of your own to be able to say it again. Raises PublishError."""
        return self.publish_many([event], ids=[id] if id else None, subject=subject)[0]

    def publish_many(
        self, events: Sequence[Event], *, ids: Sequence[str] | None = None, subject: str | None = None
    ) -> list[str]:
        """All or none. Raises PublishError."""
        names: Sequence[str | None] = ids or [None] * len(events)
        envelopes = [
            wrap(e, source=self.source, id=i, subject=subject) for e, i in zip(events, names, strict=True)
        ]
        request = urllib.request.Request(  # noqa: S310  the address is yours
            f"{self.url.rstrip('/')}/events",
            json.dumps([_structured(each) for each in envelopes]).encode(),
            {"authorization": f"Bearer {self.key}", "content-type": "application/cloudevents-batch+json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:  # noqa: S310
                kept: list[str] = json.load(answer)["ids"]
                return kept
        except urllib.error.HTTPError as error:
            told = error.read(100_000).decode(errors="replace")
            raise PublishError(f"{self.url} answered {error.code}", error.code, told) from error
        except OSError as error:
            raise PublishError(f"{self.url} cannot be reached: {error}") from error


@dataclass(frozen=True)
class AmqpPublisher:
    """Needs pika: install the extra `amqp`. One connection a call: for a service that publishes often, keep one of your own."""

    url: str
    """`amqp://…`, or `amqps://…`, whose server is verified by the authority that `?cacertfile=` names, or by the system's;
    `certfile=` and `keyfile=` are a certificate of your own."""
    source: str
    exchange: str = "callboard.events"

    def publish(self, event: Event, *, id: str | None = None, subject: str | None = None) -> str:
        """The event's id, once the broker has confirmed it. Raises PublishError."""
        import pika
        from pika.exceptions import AMQPError, ChannelClosedByBroker

        envelope = wrap(event, source=self.source, id=id, subject=subject)
        properties = pika.BasicProperties(
            content_type="application/json", delivery_mode=2, headers=_headers(envelope)
        )
        try:
            connection = pika.BlockingConnection(_parameters(self.url))
            try:
                channel = connection.channel()
                channel.confirm_delivery()
                channel.basic_publish(self.exchange, envelope.type, envelope.data, properties, mandatory=True)
            finally:
                connection.close()
        except ChannelClosedByBroker as error:
            # Such as 403, which names the type and the user: this user may not publish it.
            told = f"{error.reply_code} {error.reply_text}"
            raise PublishError(f"refused by RabbitMQ: {told}", error.reply_code, told) from error
        except (AMQPError, OSError) as error:
            raise PublishError(f"not confirmed by RabbitMQ: {type(error).__name__}") from error
        return envelope.id


def _parameters(url: str) -> Any:
    """pika's, with the files of an encrypted link, which it does not read. Raises ValueError for files of a link that is none."""
    import pika

    parts = urlsplit(url)
    given = dict(parse_qsl(parts.query))
    authority, certificate, key = (given.pop(name, None) for name in ("cacertfile", "certfile", "keyfile"))
    parameters: Any = pika.URLParameters(urlunsplit(parts._replace(query=urlencode(given))))
    if parts.scheme == "amqps":
        context = ssl.create_default_context(cafile=authority)
        if certificate:
            context.load_cert_chain(certificate, key)
        parameters.ssl_options = pika.SSLOptions(context, parameters.host)
    elif authority or certificate or key:
        raise ValueError(
            "cacertfile=, certfile= and keyfile= are for amqps://, and this address is not encrypted"
        )
    return parameters


def _structured(envelope: Envelope) -> dict[str, Any]:
    return {**_attributes(envelope), "data": json.loads(envelope.data)}


def _headers(envelope: Envelope) -> dict[str, str]:
    return {f"cloudEvents_{name}": value for name, value in _attributes(envelope).items()}


def _attributes(envelope: Envelope) -> dict[str, str]:
    found = {
        "specversion": "1.0",
        "id": envelope.id,
        "source": envelope.source,
        "type": envelope.type,
        "time": envelope.time.isoformat(),
        "schemaversion": str(envelope.version),
        "correlationid": envelope.correlation_id,
    }
    return found if envelope.subject is None else {**found, "subject": envelope.subject}
