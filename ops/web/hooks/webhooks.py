"""`POST /webhooks/{source}`: secrets, size, signature, JSON, then the delivery's row and its events in one commit, then 202."""

from collections.abc import Sequence
from datetime import UTC, datetime

import structlog
from psycopg import Connection
from starlette.requests import Request
from starlette.responses import Response

from broker import ConfigurationError, Webhook, WebhookDelivery
from broker.errors import SignatureError
from broker.seldom import Seldom
from broker.webhooks.deliveries import Taken, take
from broker.webhooks.signatures import Headers
from ops.web.answers import answered, refused
from ops.web.body import BodyError, read_body
from ops.web.desk import Desk, misconfigured, unset
from schemas import InvalidPayload, parse

MAX_BYTES = 1024 * 1024
"""Of a delivery: what an event may be, and ten times what Stripe sends."""
MAX_ID = 200
"""Bytes: with the number of an event behind it, it must still be the id of one."""
MAX_WORD = 255
"""Of a topic or shop, as it is kept."""

log = structlog.get_logger(__name__)


class WebhookDoor:
    """Answers for all webhooks that are declared."""

    def __init__(self, webhooks: Sequence[Webhook], desk: Desk) -> None:
        self._webhooks = {webhook.name: webhook for webhook in webhooks}
        self._desk = desk
        self._said = Seldom()

    async def answer(self, request: Request) -> Response:
        """2xx once it is kept; a second time too. Nothing of it is performed here."""
        webhook = self._webhooks.get(request.path_params["source"])
        if webhook is None:
            return refused(404, "unknown", "no webhook of this name is declared here")
        try:
            secrets = webhook.scheme.secrets.read()
            if not secrets:
                return unset(webhook.scheme.secrets.variable)
            body = await read_body(request, MAX_BYTES)
            headers = headers_of(request)
            webhook.scheme.check(secrets, headers, body, datetime.now(UTC))
            delivery = _delivery(webhook, headers, body)
        except ConfigurationError as error:
            return misconfigured(ConfigurationError(f"{webhook.scheme.secrets.variable}: {error}"))
        except BodyError as error:
            return refused(error.code, error.type, str(error))
        except SignatureError as error:
            return self._unsigned(webhook, error)
        except InvalidPayload as error:
            return refused(422, "invalid", str(error))
        return await self._kept(webhook, delivery)

    async def _kept(self, webhook: Webhook, delivery: WebhookDelivery) -> Response:
        def write(connection: Connection) -> tuple[Taken, bool]:
            return take(connection, self._desk.publisher, webhook, delivery)

        kept = await self._desk.keep(write)
        if isinstance(kept, Response):
            return kept
        taken, first = kept
        told = {"received": True, "ids": taken.events, "mapped": taken.mapped, "repeated": not first}
        return answered(202, told)

    def _unsigned(self, webhook: Webhook, error: SignatureError) -> Response:
        """The sender is told nothing that helps to guess; our log, once a minute, what helps to mend."""
        if self._said.due(webhook.name):
            log.warning("webhook_refused", webhook=webhook.name, reason=str(error))
        return refused(401, "signature", "the signature is not right")


def headers_of(request: Request) -> Headers:
    """Each name with all its values."""
    return {name: request.headers.getlist(name) for name in request.headers}


def _delivery(webhook: Webhook, headers: Headers, body: bytes) -> WebhookDelivery:
    """Raises InvalidPayload for what is no JSON object, and for a delivery whose id is missing or cannot be one."""
    scheme, payload = webhook.scheme, parse(body, whole_numbers=True)
    id = scheme.delivery_id(headers, body, payload) or ""
    if not 1 <= len(id.encode()) <= MAX_ID or not id.isprintable():
        raise InvalidPayload(f"id: a delivery's id is 1 to {MAX_ID} bytes of printable text", ["id"])
    shop = scheme.shop_id(payload)
    return WebhookDelivery(
        webhook.name, scheme.topic(payload)[:MAX_WORD], id, payload, shop[:MAX_WORD] if shop else None
    )
