"""What tracing costs is told of spans that have all come, and of the same spans for the bare SDK."""

from collections import Counter

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ops.bench.bare import shapes_of
from ops.bench.collector import one_trace
from ops.bench.figures import BenchError, Servers
from ops.bench.rounds import Tracing, traced
from ops.bench.tracing import measure, steps_of
from tests.ops.bench.test_rounds import servers as servers
from tests.support.otlp import running_receiver


def test_each_way_is_measured_over_the_same_spans(servers: Servers) -> None:
    said: list[str] = []

    found = measure(servers, 2, 20, said.append)

    assert (found.spans, found.events, len(found.turns)) == (6, 20, 2)
    assert all(min(turn.without, turn.rare, turn.full, turn.bare) > 0 for turn in found.turns)
    assert len(said) == steps_of(2)


def test_a_round_sends_as_many_spans_as_its_sample_says(servers: Servers) -> None:
    with running_receiver() as receiver:
        endpoint = f"{receiver.endpoint}/v1/traces"

        traced(servers, "chain", 4, 10, Tracing(0.0, endpoint))
        none = len(receiver.spans())
        traced(servers, "chain", 4, 10, Tracing(1.0, endpoint))

        names = Counter(span.name for span in receiver.spans())
        assert none == 0
        assert names.pop("publish bench.first") == 11, (
            "the first of them is published twice, and is one event"
        )
        assert set(names.values()) == {10}
        assert len(names) == 5


def test_shapes_keep_kinds_parents_and_links() -> None:
    root = Span(trace_id=b"t", span_id=b"1", name="publish a", kind=Span.SPAN_KIND_PRODUCER)
    child = Span(
        trace_id=b"t", span_id=b"2", parent_span_id=b"1", name="process b", kind=Span.SPAN_KIND_CONSUMER
    )
    child.links.add(trace_id=b"t", span_id=b"1")
    stranger = Span(trace_id=b"u", span_id=b"3", name="other")

    first, second = shapes_of(one_trace([root, child, stranger]))

    assert (first.name, first.kind, first.parent, first.links) == ("publish a", 3, -1, [])
    assert (second.name, second.kind, second.parent, second.links) == ("process b", 4, 0, [0])


def test_a_trace_with_a_hole_is_none() -> None:
    with pytest.raises(BenchError, match="1 spans of a trace have no parent"):
        one_trace([Span(trace_id=b"t", span_id=b"2", parent_span_id=b"1")])
    with pytest.raises(BenchError, match="no span came"):
        one_trace([])
