"""A trace begins at the door: the delivery's span, the publish inside it, and the run that carries it on."""

import time

import httpx
from pydantic import SecretStr

from broker.testing import Stage
from tests.ops.web.conftest import Serve
from tests.ops.web.shop import WEBHOOKS
from tests.ops.web.till import deliver, heard, stripe, stripe_event
from tests.support.otlp import ReceivedSpan, Receiver


def test_a_delivery_its_publish_and_its_run_are_one_trace(
    collector: Receiver, stage: Stage, serve: Serve
) -> None:
    canary = {"session_id": "canary", "cents": 1}
    with httpx.Client(base_url=serve(stage.settings, webhooks=WEBHOOKS)) as client:
        assert stripe(client, stripe_event(data=canary)).status_code == 202
        assert deliver(client, "stripe", b"canary", {"stripe-signature": "canary"}).status_code == 401
        spans = collector.wait_for(lambda found: len(found) >= 3)
    heard(stage)

    [published] = named(spans, "publish till.paid")
    kept, refused = named(spans, "POST /webhooks/{source}")
    assert (kept.kind, published.kind) == ("SERVER", "PRODUCER")
    assert (published.parent_id, published.trace_id) == (kept.span_id, kept.trace_id)
    assert [each.attributes["http.response.status_code"] for each in (kept, refused)] == [202, 401]
    assert stage.rows("select split_part(traceparent, '-', 2), split_part(traceparent, '-', 3) from run") == [
        (published.trace_id, published.span_id)
    ]
    assert not any(b"canary" in body for body in collector.raw)


def named(spans: list[ReceivedSpan], name: str) -> list[ReceivedSpan]:
    return [span for span in spans if span.name == name]


def test_a_failed_answer_is_an_error_and_without_a_database_nothing_is_published(
    collector: Receiver, stage: Stage, serve: Serve
) -> None:
    away = stage.settings.model_copy(update={"database_url": SecretStr("host=127.0.0.1 port=1 dbname=none")})
    began = time.monotonic()
    with httpx.Client(base_url=serve(away, webhooks=WEBHOOKS), timeout=30) as client:
        assert stripe(client, stripe_event()).status_code == 503
        [failed] = collector.wait_for(lambda found: len(found) >= 1)

    assert failed.status[0] == "ERROR"
    assert time.monotonic() - began < 20
