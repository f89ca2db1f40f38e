"""The bare SDK: the spans of one story as an author would make them by hand, through the same processor and exporter."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
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


def to_text(shapes: Sequence[Shape]) -> str:
    return json.dumps([asdict(shape) for shape in shapes])


class Bare:
    """A provider of its own; `shapes` as `to_text` writes them. Make it after the process has forked: it starts a thread."""

    def __init__(self, shapes: str) -> None:
        self._shapes = [Shape(**shape) for shape in json.loads(shapes)]
        self._provider = TracerProvider(sampler=ParentBasedTraceIdRatio(1.0), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("bare")

    def tell(self) -> None:
        """All spans of one story."""
        spans: list[trace.Span] = []
        for shape in self._shapes:
            around = trace.set_span_in_context(spans[shape.parent]) if shape.parent >= 0 else Context()
            links = [Link(spans[place].get_span_context()) for place in shape.links if place < len(spans)]
            spans.append(
                self._tracer.start_span(
                    shape.name, around, SpanKind(shape.kind), dict(shape.attributes), links
                )
            )
        for span in reversed(spans):
            span.end()

    def shutdown(self) -> None:
        """Sends what waits."""
        self._provider.shutdown()


def _value(value: Any) -> object:
    return getattr(value, value.WhichOneof("value"))
