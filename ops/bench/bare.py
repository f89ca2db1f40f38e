"""The bare SDK: the spans of one story, made as often as asked, through the same processor and exporter. Nothing else."""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import Link, SpanKind


@dataclass(frozen=True, slots=True)
class Shape:
    """One span. `parent` is its parent's place among the shapes before it, -1 for a root; `links` are places, too."""

    name: str
    kind: int
    parent: int
    links: Sequence[int]
    attributes: dict[str, Any]


def shapes_of(spans: Sequence[trace_pb2.Span]) -> list[Shape]:
    """Of one trace, parents first. A link that leads out of it is taken for one to the root."""
    places = {span.span_id: place for place, span in enumerate(spans)}
    return [
        Shape(
            span.name,
            # The protocol counts kinds from 1, the SDK from 0.
            span.kind - 1,
            places.get(span.parent_span_id, -1),
            [places.get(link.span_id, 0) for link in span.links],
            {each.key: _value(each.value) for each in span.attributes},
        )
        for span in spans
    ]


def order_of(shapes: Sequence[Shape], times: int) -> str:
    return json.dumps({"shapes": [asdict(shape) for shape in shapes], "times": times})


def main() -> None:
    """Its order is the first argument; prints the seconds of CPU, spans sent to the last."""
    order = json.loads(sys.argv[1])
    shapes = [Shape(**shape) for shape in order["shapes"]]
    provider = TracerProvider(sampler=ParentBasedTraceIdRatio(1.0), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracer = provider.get_tracer("bare")
    began = time.process_time()
    for _ in range(order["times"]):
        _tell(tracer, shapes)
    provider.force_flush()
    provider.shutdown()
    print(json.dumps(time.process_time() - began))


def _tell(tracer: trace.Tracer, shapes: Sequence[Shape]) -> None:
    spans: list[trace.Span] = []
    for shape in shapes:
        around = trace.set_span_in_context(spans[shape.parent]) if shape.parent >= 0 else None
        links = [Link(spans[place].get_span_context()) for place in shape.links if place < len(spans)]
        spans.append(
            tracer.start_span(shape.name, around, SpanKind(shape.kind), dict(shape.attributes), links)
        )
    for span in reversed(spans):
        span.end()


def _value(value: Any) -> object:
    return getattr(value, value.WhichOneof("value"))
