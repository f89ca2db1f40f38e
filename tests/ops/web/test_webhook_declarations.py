"""Webhooks as an author declares them: wrong ones are told, right ones are found and listed."""

import json
from collections.abc import Callable

import pytest

from broker import ConfigurationError, Secrets, Stripe, Webhook, WebhookDelivery
from broker.database import Database
from broker.webhooks.checks import check_webhooks
from schemas import Event
from tests.ops.conftest import Cli
from tests.ops.web.shop import ACTORS, WEBHOOKS, TillPaid, TillSettings, of_stripe


class Nameless(Event):
    """Without a type."""


def unannotated(delivery: WebhookDelivery):  # type: ignore[no-untyped-def]
    return None


def of_nothing(delivery: WebhookDelivery) -> Nameless | None:
    return None


SCHEME = Stripe(Secrets(TillSettings, "stripe_secrets"))


@pytest.mark.parametrize(
    ("declare", "told"),
    [
        (lambda: Webhook("Stripe", SCHEME), "name it in lower case"),
        (lambda: Webhook("a/b", SCHEME), "name it in lower case"),
        (lambda: Webhook("stripe", SCHEME, unannotated), "annotate it with the events"),
        (lambda: Webhook("stripe", SCHEME, of_nothing), "annotate it with the events"),
        (lambda: Secrets(TillSettings, "stripe_secret"), "has no field 'stripe_secret'"),
    ],
)
def test_a_wrong_declaration_is_told_where_it_is_made(declare: Callable[[], object], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        declare()


def test_twins_and_events_that_nobody_hears_are_faults() -> None:
    faults = check_webhooks([*WEBHOOKS, Webhook("stripe", SCHEME, of_stripe)], ACTORS[:1])

    assert {fault.subject for fault in faults} == {"webhook stripe", "event webhook.received"}
    assert check_webhooks(WEBHOOKS, ACTORS) == []


def test_a_mapping_that_makes_another_event_than_it_says_has_failed() -> None:
    def of(delivery: WebhookDelivery) -> TillPaid:
        return delivery.received()  # type: ignore[return-value]

    with pytest.raises(TypeError, match="WebhookReceived, with which it is not annotated"):
        Webhook("stripe", SCHEME, of).events(WebhookDelivery("stripe", "x", "evt_1", {}))


def test_webhooks_are_found_beside_pipelines_and_listed_with_their_setting(
    cli: Cli, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_APPS", "tests.support.troupe")
    monkeypatch.delenv("CALLBOARD_PROMPTER_SECRET", raising=False)

    shown = cli("webhooks").output
    assert "prompter" in shown and "CALLBOARD_PROMPTER_SECRET is not set" in shown
    assert [each["name"] for each in json.loads(cli("webhooks", "--json").output)] == ["prompter"]
    assert cli("webhooks", "promter").exit_code == 1
    assert "did you mean 'prompter'" in cli("webhooks", "promter").output
