"""Spans as a collector receives them: names, kinds, parents, links and attributes; and what never reaches one."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from dramatiq.brokers.stub import StubBroker
from opentelemetry.trace import get_current_span

from broker.journal.claimed import StoredStep
from broker.middleware.trace import Trace
from broker.run.synchronous import Run
from broker.signals import Fenced, Suspended
from broker.telemetry import Telemetry
from broker.trace_context import read
from broker.work import Work
from broker.worker import RunMessage
from schemas import Event
from tests.support.otlp import ReceivedSpan, Receiver, running_receiver
from tests.support.works import work_of

SECRET = "user-4711@example.com"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{SPAN}-01"
UNSAMPLED = f"00-{TRACE}-{SPAN}-00"


class TraceTested(Event, type="tests.trace.tested"):
    address: str = SECRET


def scan(event: TraceTested, run: Run) -> None: ...


@pytest.fixture
def collector() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture
def telemetry(collector: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Telemetry]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    telemetry = Telemetry(version="1.2.3")
    yield telemetry
    telemetry.shutdown()


@pytest.fixture
def trace(telemetry: Telemetry) -> Trace:
    trace = Trace()
    trace.use(telemetry.tracer, system="rabbitmq", destination="callboard.events")
    return trace


def scanned(**claimed: Any) -> Work:
    return work_of(scan, TraceTested(), **claimed)


@contextmanager
def attempt(trace: Trace, work: Work) -> Generator[None]:
    """As the engine does: the body between the policies, the hooks after it."""
    raised: BaseException | None = None
    try:
        with trace.around(work):
            yield
    except BaseException as error:
        raised = error
        raise
    finally:
        trace.after_process_message(StubBroker(), RunMessage(work), exception=raised)


def perform(trace: Trace, work: Work) -> None:
    with attempt(trace, work):
        pass


def received(collector: Receiver, telemetry: Telemetry) -> dict[str, ReceivedSpan]:
    assert telemetry.flush()
    return {span.name: span for span in collector.spans()}


def test_an_attempt_is_a_child_of_its_publish_and_linked_to_it(
    trace: Trace, telemetry: Telemetry, collector: Receiver
) -> None:
    work = scanned(traceparent=SAMPLED, pipeline="page-scan")

    perform(trace, work)

    span = received(collector, telemetry)["process test_trace.scan"]
    assert (span.kind, span.trace_id, span.parent_id) == ("CONSUMER", TRACE, SPAN)
    assert span.links == ((TRACE, SPAN),)
    assert span.status == ("UNSET", "")
    assert span.attributes == {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "test_trace.scan",
        "messaging.message.id": work.claimed.envelope.id,
        "messaging.message.conversation_id": work.claimed.envelope.correlation_id,
        "callboard.run.id": str(work.claimed.id),
        "callboard.attempt": 1,
        "callboard.pipeline": "page-scan",
    }
    assert span.resource["service.name"] == "callboard"
    assert span.resource["service.version"] == "1.2.3"
    assert collector.paths == ["/v1/traces"]


def test_a_published_event_carries_a_publish_span_under_the_attempt(
    trace: Trace, telemetry: Telemetry, collector: Receiver
) -> None:
    work, id = scanned(traceparent=SAMPLED), uuid4()
    with attempt(trace, work):
        traceparent, _ = trace.traced("page.analyze.requested", id)

    spans = received(collector, telemetry)
    publish = spans["publish page.analyze.requested"]
    assert publish.kind == "PRODUCER"
    assert (publish.trace_id, publish.parent_id) == (TRACE, spans["process test_trace.scan"].span_id)
    assert traceparent is not None
    assert traceparent.split("-")[1:3] == [publish.trace_id, publish.span_id]
    assert publish.attributes == {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": "callboard.events",
        "messaging.rabbitmq.destination.routing_key": "page.analyze.requested",
        "messaging.message.id": str(id),
        "messaging.message.conversation_id": work.claimed.envelope.correlation_id,
    }


def test_what_leaves_with_the_outcome_is_still_part_of_the_attempt(
    trace: Trace, telemetry: Telemetry, collector: Receiver
) -> None:
    """A returned event is published after the body, outside the policies."""
    work = scanned(traceparent=SAMPLED)
    with trace.around(work):
        pass
    trace.traced("page.scanned", uuid4())
    trace.after_process_message(StubBroker(), RunMessage(work))

    spans = received(collector, telemetry)
    assert spans["publish page.scanned"].parent_id == spans["process test_trace.scan"].span_id
    assert not get_current_span().get_span_context().is_valid


def test_a_step_is_a_child_of_its_attempt_and_the_items_of_a_map_share_a_name(
    trace: Trace, telemetry: Telemetry, collector: Receiver
) -> None:
    work = scanned(traceparent=SAMPLED)
    with attempt(trace, work):
        with trace.step_span("fetch-and-parse"):
            trace.traced("page.fetched", uuid4())
        with trace.step_span("image[12]"):
            pass

    spans = received(collector, telemetry)
    step = spans["step fetch-and-parse"]
    assert (step.kind, step.parent_id) == ("INTERNAL", spans["process test_trace.scan"].span_id)
    assert spans["publish page.fetched"].parent_id == step.span_id
    assert spans["step image"].attributes == {"callboard.step": "image[12]"}


def test_of_an_error_only_the_type_is_told(trace: Trace, telemetry: Telemetry, collector: Receiver) -> None:
    work = scanned(traceparent=SAMPLED)
    with pytest.raises(ValueError, match=SECRET), attempt(trace, work), trace.step_span("fetch"):
        raise ValueError(SECRET)

    spans = received(collector, telemetry)
    for name in ("step fetch", "process test_trace.scan"):
        assert spans[name].status == ("ERROR", "ValueError")
        assert spans[name].attributes["error.type"] == "ValueError"
        assert spans[name].events == ()
    assert all(SECRET.encode() not in body for body in collector.raw)


def test_a_run_that_waits_has_not_failed(trace: Trace, telemetry: Telemetry, collector: Receiver) -> None:
    with pytest.raises(Suspended), attempt(trace, scanned(traceparent=SAMPLED)):
        raise Suspended(timedelta(seconds=1), "sleeps")

    assert received(collector, telemetry)["process test_trace.scan"].status == ("UNSET", "")


def test_a_cancelled_attempt_says_so_and_has_not_failed(
    trace: Trace, telemetry: Telemetry, collector: Receiver
) -> None:
    work = scanned(traceparent=SAMPLED)
    work.cancelled = True
    with pytest.raises(Fenced), attempt(trace, work):
        raise Fenced

    span = received(collector, telemetry)["process test_trace.scan"]
    assert span.attributes["callboard.cancelled"] is True
    assert "error.type" not in span.attributes
    assert span.status == ("UNSET", "")


RETRIED: dict[str, Any] = {"attempt": 2}
REPLAYED: dict[str, Any] = {"rerun": 1}
RESUMED: dict[str, Any] = {"steps": {("fetch", 0): StoredStep("done", 1, "null", None, None)}}


@pytest.mark.parametrize("claimed", [RETRIED, REPLAYED, RESUMED], ids=["retried", "replayed", "resumed"])
def test_a_later_attempt_stays_in_its_chain(
    trace: Trace, telemetry: Telemetry, collector: Receiver, claimed: dict[str, Any]
) -> None:
    perform(trace, scanned(traceparent=SAMPLED, **claimed))

    span = received(collector, telemetry)["process test_trace.scan"]
    assert (span.trace_id, span.parent_id, span.links) == (TRACE, SPAN, ((TRACE, SPAN),))


@pytest.mark.parametrize("claimed", [RETRIED, REPLAYED, RESUMED], ids=["retried", "replayed", "resumed"])
def test_a_later_attempt_starts_a_linked_trace_if_so_set(
    trace: Trace, telemetry: Telemetry, collector: Receiver, claimed: dict[str, Any]
) -> None:
    trace.use(telemetry.tracer, system="rabbitmq", destination="callboard.events", resumed="linked")

    perform(trace, scanned(traceparent=SAMPLED, **claimed))

    span = received(collector, telemetry)["process test_trace.scan"]
    assert span.trace_id != TRACE
    assert (span.parent_id, span.links) == ("", ((TRACE, SPAN),))


def test_an_event_without_a_trace_starts_one(trace: Trace, telemetry: Telemetry, collector: Receiver) -> None:
    perform(trace, scanned())

    span = received(collector, telemetry)["process test_trace.scan"]
    assert (span.parent_id, span.links) == ("", ())


def test_what_its_publisher_did_not_sample_is_passed_on_and_not_recorded(
    trace: Trace, telemetry: Telemetry, collector: Receiver
) -> None:
    with attempt(trace, scanned(traceparent=UNSAMPLED, tracestate="vendor=1")), trace.step_span("fetch"):
        carried = trace.traced("page.scanned", uuid4())

    assert received(collector, telemetry) == {}
    assert carried == (UNSAMPLED, "vendor=1")


def test_without_an_exporter_a_context_is_passed_on_and_a_new_story_gets_one() -> None:
    trace = Trace()
    with attempt(trace, scanned(traceparent=SAMPLED, tracestate="vendor=1")), trace.step_span("fetch"):
        assert trace.traced("page.scanned", uuid4()) == (SAMPLED, "vendor=1")

    with attempt(trace, scanned()):
        first, _ = trace.traced("page.scanned", uuid4())
        second, _ = trace.traced("page.scanned", uuid4())
    assert first == second
    assert read(first, None) is not None


def test_a_publisher_outside_any_run_starts_the_chain(
    trace: Trace, telemetry: Telemetry, collector: Receiver
) -> None:
    with trace.publish_span("page.scan.requested", "callboard.events", "rabbitmq", id="e1") as carried:
        pass

    span = received(collector, telemetry)["publish page.scan.requested"]
    assert (span.kind, span.parent_id) == ("PRODUCER", "")
    assert span.attributes["messaging.message.id"] == "e1"
    assert carried.traceparent is not None
    assert carried.traceparent.startswith(f"00-{span.trace_id}-{span.span_id}-")


def test_a_span_that_its_body_left_through_an_interrupt_is_ended_by_the_hook(
    trace: Trace, telemetry: Telemetry, collector: Receiver
) -> None:
    """An interrupt can land after the body and before the end of `around`."""
    work = scanned(traceparent=SAMPLED)
    trace.around(work).__enter__()

    trace.after_process_message(StubBroker(), RunMessage(work), exception=TimeoutError())

    assert received(collector, telemetry)["process test_trace.scan"].status == ("ERROR", "TimeoutError")


@pytest.mark.parametrize(
    "traceparent",
    [
        None,
        "",
        "rubbish",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
    ],
)
def test_a_faulty_traceparent_is_none(traceparent: str | None) -> None:
    assert read(traceparent, "vendor=1") is None


def test_a_later_version_of_the_standard_is_read() -> None:
    context = read(f"01-{TRACE}-{SPAN}-01-more", None)

    assert context is not None
    assert f"{context.trace_id:032x}" == TRACE
