"""A real OTLP/HTTP endpoint: what a collector would receive, decoded from the bytes that were sent."""

import gzip
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeAlias

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, Metric, NumberDataPoint
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Value: TypeAlias = "str | bool | int | float | tuple[Value, ...]"


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it arrived. Ids are hexadecimal, as `traceparent` writes them; `parent_id` of a root is empty."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[tuple[str, str], ...]
    attributes: Mapping[str, Value]
    resource: Mapping[str, Value]
    status: tuple[str, str]
    events: tuple[str, ...]
    duration: timedelta


class Receiver:
    """Keeps what arrives. `raw` are the decoded bodies, `refuse` makes it answer with an HTTP error instead."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []
        self.paths: list[str] = []
        self.refuse: int | None = None
        self.metrics: list[Metric] = []
        self._spans: list[ReceivedSpan] = []
        self._arrived = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, name="otlp", daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def spans(self, name: str = "") -> list[ReceivedSpan]:
        """All that have arrived, or those of one name."""
        with self._arrived:
            return [span for span in self._spans if name in ("", span.name)]

    def wait_for(
        self, predicate: Callable[[list[ReceivedSpan]], bool], timeout: timedelta | float = 10.0
    ) -> list[ReceivedSpan]:
        """The spans, as soon as `predicate` holds of them. AssertionError with their names after `timeout` seconds."""
        ends = time.monotonic() + (timeout.total_seconds() if isinstance(timeout, timedelta) else timeout)
        with self._arrived:
            while not predicate(list(self._spans)):
                left = ends - time.monotonic()
                assert left > 0, f"only these spans arrived: {[span.name for span in self._spans]}"
                self._arrived.wait(left)
            return list(self._spans)

    def metric(self, name: str) -> list[Mapping[str, Value]]:
        """The attributes of every point of a metric that has arrived."""
        with self._arrived:
            return [
                _values(point.attributes)
                for found in self.metrics
                if found.name == name
                for point in _points(found)
            ]

    def receive(self, path: str, body: bytes) -> None:
        if path.endswith("/v1/metrics"):
            return self._receive_metrics(body)
        request = ExportTraceServiceRequest()
        request.ParseFromString(body)
        spans = [
            _span(span, resource.resource)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        with self._arrived:
            self.raw.append(body)
            self.paths.append(path)
            self._spans += spans
            self._arrived.notify_all()
        return None

    def _receive_metrics(self, body: bytes) -> None:
        request = ExportMetricsServiceRequest()
        request.ParseFromString(body)
        with self._arrived:
            self.raw.append(body)
            self.metrics += [
                metric
                for resource in request.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
            ]
            self._arrived.notify_all()


@contextmanager
def running_receiver() -> Generator[Receiver]:
    """Listening on a port of its own."""
    receiver = Receiver()
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if receiver.refuse is None:
                receiver.receive(self.path, body)
            self.send_response(receiver.refuse or 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's name
            pass

    return Handler


def _points(metric: Metric) -> Iterable[HistogramDataPoint | NumberDataPoint]:
    return [*metric.histogram.data_points, *metric.sum.data_points]


def _span(span: Span, resource: Resource) -> ReceivedSpan:
    return ReceivedSpan(
        name=span.name,
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        attributes=_values(span.attributes),
        resource=_values(resource.attributes),
        status=(
            type(span.status).StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
            span.status.message,
        ),
        events=tuple(event.name for event in span.events),
        duration=timedelta(microseconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1000),
    )


def _values(pairs: Iterable[KeyValue]) -> Mapping[str, Value]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Value:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(_value(item) for item in value.array_value.values)
    plain: Value = getattr(value, kind) if kind else ""
    return plain
