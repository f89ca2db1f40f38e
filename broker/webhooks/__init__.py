"""Webhooks: what other services tell us over HTTP, as events. Declared beside pipelines, answered by `callboard web`.

bytes ── signature ── JSON ── mapping ── events and the delivery's row in one commit ── 202
            └ 401                └ nothing, or it failed: webhook.received
"""

from broker.webhooks.secrets import Secrets
from broker.webhooks.signatures import Salla, Scheme, StandardWebhooks, Stripe
from broker.webhooks.webhook import Webhook, WebhookDelivery

__all__ = ["Salla", "Scheme", "Secrets", "StandardWebhooks", "Stripe", "Webhook", "WebhookDelivery"]
