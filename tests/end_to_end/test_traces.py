"""One trace from the shell to the last stage, read from what an OTLP collector receives."""

from collections import Counter
from collections.abc import Callable
from uuid import UUID

import pytest

from ops.demo_site.server import DemoSite
from tests.end_to_end.stories import (
    PATIENCE,
    recommendations,
    scan_asked,
    scanned_and_told,
    song_made,
    song_paid,
    titles,
)
from tests.support.installation import Installation
from tests.support.otlp import ReceivedSpan, Receiver
from tests.support.trace_tree import TraceTree
from tests.support.waiting import eventually
from tests.support.web import Call, Web, serving

pytestmark = pytest.mark.end_to_end

MARKER = "SECRETOFAUSER"
KINDS = {"publish": "PRODUCER", "process": "CONSUMER", "step": "INTERNAL"}
OPERATIONS = {"publish": ("publish", "send"), "process": ("process", "process")}

PAGE_SCAN = Counter(
    {
        "publish page.scan.requested": 1,
        "process pages.scan": 1,
        "step fetch-and-parse": 1,
        "publish page.analyze.requested": 1,
        "publish notification.send": 2,
        "process pages.analyze": 1,
        "step fetch-prompt": 1,
        "step run-analysis": 1,
        "process notifications.notify": 2,
    }
)
SONG_ORDER = Counter(
    {
        "publish order.paid": 1,
        "process orders.accept": 1,
        "publish order.accepted": 1,
        "process orders.generate": 1,
        "step fetch-customization": 1,
        "step mark-generating": 1,
        "step create-variant-records": 1,
        "step generate-and-upload": 3,
        "step mark-variant-generating": 3,
        "step mark-variant-complete": 3,
        "publish order.variants_generated": 1,
        "process orders.finalize": 1,
        "publish order.completed": 1,
        "process orders.offer": 1,
        "step make-offer": 1,
    }
)


@pytest.fixture
def traced(on_either: Installation, receiver: Receiver) -> Installation:
    return on_either.but(
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        OTEL_BSP_SCHEDULE_DELAY="100",
        OTEL_SERVICE_NAME="stage-door",
    )


def received(receiver: Receiver, count: int) -> TraceTree:
    """Everything, once so many spans have come. AssertionError if they are not one tree."""
    return TraceTree(
        without_ticks(receiver.wait_for(lambda spans: len(without_ticks(spans)) >= count, PATIENCE))
    )


def test_a_page_scan_is_one_trace(traced: Installation, receiver: Receiver, site: DemoSite) -> None:
    with traced.workers(processes=2):
        page_id = scan_asked(traced, f"{site.urls[0]}?{MARKER}", user_id=MARKER)
        scanned_and_told(traced, page_id)
        tree = received(receiver, PAGE_SCAN.total())

    assert tree.names == PAGE_SCAN
    assert tree.line(tree.named("step run-analysis")[0]) == [
        "step run-analysis",
        "process pages.analyze",
        "publish page.analyze.requested",
        "process pages.scan",
        "publish page.scan.requested",
    ]
    told = sorted(tree.line(span)[2] for span in tree.named("process notifications.notify"))
    assert told == ["process pages.analyze", "process pages.scan"]
    has_the_conventions(tree, traced, pipeline="page-scan")
    has_no_payload(receiver)


def test_a_song_order_is_one_trace(traced: Installation, receiver: Receiver) -> None:
    with traced.workers(processes=2):
        order_id = song_paid(traced, recipient=MARKER)
        song_made(traced, order_id)
        tree = received(receiver, SONG_ORDER.total())

    assert tree.names == SONG_ORDER
    assert tree.line(tree.named("process orders.finalize")[0]) == [
        "process orders.finalize",
        "publish order.variants_generated",
        "process orders.generate",
        "publish order.accepted",
        "process orders.accept",
        "publish order.paid",
    ]
    assert {span.attributes["callboard.step"] for span in tree.named("step generate-and-upload")} == {
        f"generate-and-upload[{number}]" for number in range(3)
    }
    has_the_conventions(tree, traced, pipeline="song-order")
    has_no_payload(receiver)


def without_ticks(spans: list[ReceivedSpan]) -> list[ReceivedSpan]:
    """Schedules of the house may tick meanwhile: each tick is a trace of its own."""
    ticks = {span.trace_id for span in spans if span.name.endswith(".due")}
    return [span for span in spans if span.trace_id not in ticks]


def test_a_retried_and_a_replayed_run_stay_in_the_trace(traced: Installation, receiver: Receiver) -> None:
    """The site fails once, then the analysis for want of a prompt; both are tried again, by the retry and by a person."""
    with serving() as site, traced.but(CALLBOARD_PAGES_ALLOWED_HOSTS=site.authority).workers():
        site.routes["/"] = refusing_once(site)
        traced.rows("update pages.prompt_template set active = false returning id")
        page_id = scan_asked(traced, site.url())
        eventually(lambda: titles(traced) == ["Analysis Failed", "Scan Complete"], PATIENCE)
        traced.rows("update pages.prompt_template set active = true where name = 'default' returning id")
        [letter] = traced.letters()
        traced.callboard("dead", "replay", letter["id"])
        eventually(lambda: recommendations(traced, page_id) > 0 and len(titles(traced)) == 3, PATIENCE)
        receiver.wait_for(
            lambda spans: Counter(s.name for s in spans)["process notifications.notify"] == 3, PATIENCE
        )

    tree = TraceTree(without_ticks(receiver.spans()))
    assert letter["trace_id"] == tree.spans[0].trace_id
    scans, analyses = tree.named("process pages.scan"), tree.named("process pages.analyze")
    assert [(span.attributes["callboard.attempt"], span.status[0]) for span in scans] == [
        (1, "ERROR"),
        (2, "UNSET"),
    ]
    assert [span.status[0] for span in analyses] == ["ERROR", "UNSET"]
    for attempts in (scans, analyses):
        assert len({span.parent_id for span in attempts}) == 1
        assert len({span.attributes["callboard.run.id"] for span in attempts}) == 1
        assert len({span.span_id for span in attempts}) == 2
    has_the_conventions(tree, traced, pipeline="page-scan")


def test_a_failure_is_published_by_the_attempt_that_failed(
    traced: Installation, receiver: Receiver, site: DemoSite
) -> None:
    traced.rows("update pages.prompt_template set active = false returning id")
    with traced.workers():
        scan_asked(traced, site.urls[0])
        eventually(lambda: titles(traced) == ["Analysis Failed", "Scan Complete"], PATIENCE)
        receiver.wait_for(
            lambda spans: Counter(s.name for s in spans)["process notifications.notify"] == 2, PATIENCE
        )
    tree = TraceTree(without_ticks(receiver.spans()))
    [heard] = tree.named("process pages.fail")
    is_linked_to_its_publish(tree, heard)
    assert tree.line(heard)[2] == "process pages.analyze"


def refusing_once(site: Web) -> Callable[[Call], None]:
    def answer(call: Call) -> None:
        if len(site.requests) == 1:
            call.answer(503, "later")
        else:
            call.page("<title>Here at last</title><h1>Here</h1>")

    return answer


def has_the_conventions(tree: TraceTree, callboard: Installation, pipeline: str) -> None:
    """Kinds, links, names and attributes as OpenTelemetry's messaging conventions and our design have them."""
    system = "rabbitmq" if callboard.environment["CALLBOARD_BROKER_URL"] else "postgresql"
    story = callboard.one("select distinct correlation_id from run")
    runs = {str(id): actor for id, actor in callboard.rows("select id, actor from run")}
    for span in tree.spans:
        verb, _, subject = span.name.partition(" ")
        assert span.kind == KINDS[verb], span.name
        assert span.resource["service.name"] == "stage-door"
        if verb != "step":
            assert span.attributes["messaging.system"] == system
            named = (span.attributes["messaging.operation.name"], span.attributes["messaging.operation.type"])
            assert named == OPERATIONS[verb]
        if verb == "process":
            is_linked_to_its_publish(tree, span)
            assert span.attributes["messaging.destination.name"] == subject
            assert span.attributes["messaging.message.conversation_id"] == story
            assert runs[str(span.attributes["callboard.run.id"])] == subject
        if verb == "publish":
            assert span.attributes["messaging.destination.name"] == "callboard.events"
            UUID(str(span.attributes["messaging.message.id"]))
        if span.status[0] == "ERROR":
            assert span.attributes["error.type"]
            assert span.status[1] == span.attributes["error.type"]
    in_pipeline = {
        span.name for span in tree.named("process ") if span.attributes.get("callboard.pipeline") == pipeline
    }
    assert len(in_pipeline) == 3


def is_linked_to_its_publish(tree: TraceTree, span: ReceivedSpan) -> None:
    published = tree.parent(span)
    assert published is not None
    assert published.name.startswith("publish ")
    assert span.links == ((published.trace_id, published.span_id),)
    assert span.attributes["messaging.message.id"] == published.attributes["messaging.message.id"]


def has_no_payload(receiver: Receiver) -> None:
    """Not in any span, attribute, event, status or resource: nowhere in the bytes."""
    assert receiver.raw
    assert not [body for body in receiver.raw if MARKER.encode() in body]
