"""How events travel and how what was done is remembered. What an author needs stands here."""

from broker.actor import Actor, Chain, actor
from broker.backoff import AI_API, DEFAULT, EMAIL, NO_RETRY, SALLA_API, SCRAPER, Backoff
from broker.environment import EnvironmentSettings
from broker.errors import CallboardError, ConfigurationError, InvokeFailed, PublishError, StepFailed
from broker.failed_events import failed_event
from broker.gathering import Batch, Debounce
from broker.ledger import Ledger
from broker.middleware.base import Door, Policy, Visit
from broker.outcomes import Failed, Ok, Result
from broker.policies import CancelOn, Concurrency, Idempotency, Policies, RateLimit, Singleton, Throttle
from broker.provider_errors import ProviderError, judged
from broker.publisher import Publisher
from broker.realtime import realtime_token
from broker.retrying import retrying, retrying_async
from broker.run.asynchronous import AsyncRun
from broker.run.synchronous import Run
from broker.schedules import Missed, Schedule, Tick
from broker.settings import Settings, load_settings
from broker.signals import NonRetriable, Postpone, RetryAfter
from broker.waiting import Elapsed, Wait, after, invocation, on, until
from broker.webhooks import Salla, Scheme, Secrets, StandardWebhooks, Stripe, Webhook, WebhookDelivery
from broker.wiring import Pipeline

__all__ = [
    "AI_API",
    "Actor",
    "AsyncRun",
    "Backoff",
    "Batch",
    "CallboardError",
    "CancelOn",
    "Chain",
    "Concurrency",
    "ConfigurationError",
    "DEFAULT",
    "Debounce",
    "Door",
    "EMAIL",
    "Elapsed",
    "EnvironmentSettings",
    "Failed",
    "Idempotency",
    "InvokeFailed",
    "Ledger",
    "Missed",
    "NO_RETRY",
    "NonRetriable",
    "Ok",
    "Pipeline",
    "Policies",
    "Policy",
    "Postpone",
    "ProviderError",
    "PublishError",
    "Publisher",
    "RateLimit",
    "Result",
    "RetryAfter",
    "Run",
    "SALLA_API",
    "SCRAPER",
    "Salla",
    "Schedule",
    "Scheme",
    "Secrets",
    "Settings",
    "Singleton",
    "StandardWebhooks",
    "StepFailed",
    "Stripe",
    "Throttle",
    "Tick",
    "Visit",
    "Wait",
    "Webhook",
    "WebhookDelivery",
    "actor",
    "after",
    "failed_event",
    "invocation",
    "judged",
    "load_settings",
    "on",
    "realtime_token",
    "retrying",
    "retrying_async",
    "until",
]
