"""The events of the pages, notifications, orders and tokens domains, as applications send them, and failures."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from schemas import Failure, InvalidPayload, find, validate, wrap
from schemas.notifications import NotificationSend
from schemas.orders import OrderCompleted, OrderPaid, OrderVariantsGenerated, Variant
from schemas.pages import (
    BatchProgressUpdated,
    PageAnalyzeRequested,
    PageScanRequested,
    ProjectBatchScanRequested,
)
from schemas.tokens import TokenRefreshNeeded

ID = str(uuid4())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("page/scan.requested", PageScanRequested),
        ("page.scan.requested", PageScanRequested),
        ("page:scan.requested", PageScanRequested),
        ("page/analyze.requested", PageAnalyzeRequested),
        ("notification/send", NotificationSend),
        ("notification.send", NotificationSend),
        ("order.paid", OrderPaid),
        ("order.variants-generated", OrderVariantsGenerated),
        ("project/batch.scan", ProjectBatchScanRequested),
        ("batch/progress.updated", BatchProgressUpdated),
        ("token.refresh-needed", TokenRefreshNeeded),
    ],
)
def test_original_names_are_known(name: str, kind: type) -> None:
    assert find(name) is kind


def test_a_scan_request_arrives_as_it_was_always_sent() -> None:
    data = f'{{"pageId":"{ID}","url":"https://example.com/a","userId":"u1"}}'.encode()

    event = validate("page/scan.requested", 1, data)

    assert isinstance(event, PageScanRequested)
    ours = data.replace(b"pageId", b"page_id").replace(b"userId", b"user_id")
    assert wrap(event, source="seo").data == ours.replace(b"}", b',"batch_id":null}')


@pytest.mark.parametrize("name", ["scan", "scanData", "scan_data"])
def test_an_analysis_request_accepts_the_first_name_of_its_scan(name: str) -> None:
    scan = (
        '{"htmlLength":10,"headings":[{"level":1,"text":"Hi"}],"links":[{"href":"/x"}],"metaKeywords":"a,b"}'
    )
    data = f'{{"pageId":"{ID}","url":"https://example.com","userId":"u1","{name}":{scan}}}'.encode()

    event = validate("page/analyze.requested", 1, data)

    assert isinstance(event, PageAnalyzeRequested)
    assert (event.scan.html_length, event.scan.headings[0].text) == (10, "Hi")
    assert b'"scan":{"html_length":10' in wrap(event, source="seo").data


@pytest.mark.parametrize("level", ["info", "success", "warning", "error"])
def test_a_notification_has_one_of_four_levels(level: str) -> None:
    data = f'{{"userId":"u1","title":"t","message":"m","type":"{level}"}}'.encode()

    assert validate("notification/send", 1, data).model_dump()["type"] == level


def test_another_level_is_refused() -> None:
    with pytest.raises(InvalidPayload) as caught:
        validate("notification.send", 1, b'{"userId":"u1","title":"t","message":"m","type":"fatal"}')

    assert caught.value.fields == ("type",)


def test_an_order_is_paid_with_what_the_customer_asked_for() -> None:
    asked = '{"recipientName":"Ada","occasion":"birthday","genre":"pop","mood":"happy"}'
    data = f'{{"orderId":"{ID}","stripeSessionId":"cs_1","customization":{asked}}}'.encode()

    event = validate("order.paid", 1, data)

    assert isinstance(event, OrderPaid)
    assert (event.customization.recipient_name, event.customization.story) == ("Ada", None)


def test_variants_are_complete_or_failed() -> None:
    event = OrderVariantsGenerated(
        order_id=uuid4(),
        variants=(
            Variant(number=1, status="complete", url="/files/1.wav"),
            Variant(number=2, status="failed", error="429"),
        ),
    )

    assert validate(event.event_type, 1, event.model_dump_json().encode()) == event


def test_events_for_others_say_so() -> None:
    assert (OrderCompleted.event_audience, Failure.event_audience) == ("outside", "outside")
    assert OrderPaid.event_audience == "house"


def test_a_failure_never_fails_because_of_its_error_text() -> None:
    failure = Failure(
        actor="orders.generate",
        reason="timed out",
        error="\0" * 10_000,
        attempts=5,
        dead_letter_id=uuid4(),
        failed_at=datetime.now(UTC),
    )

    assert failure.error == "\ufffd" * 4000
    assert validate("callboard.failure", 1, failure.model_dump_json().encode()) == failure
