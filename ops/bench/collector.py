"""An OTLP endpoint that costs little: it counts spans, and keeps those of one trace to look at."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ops.bench.figures import BenchError


class Collector:
    """`spans` reads all bodies that have come since it was last asked."""

    def __init__(self) -> None:
        self._bodies: list[bytes] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                collector._bodies.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that it has above
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}/v1/traces"

    def spans(self) -> list[Span]:
        bodies, self._bodies = self._bodies, []
        return [
            span
            for body in bodies
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def serve(self) -> None:
        self._server.serve_forever()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def collecting() -> Generator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.serve, name="collector", daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.close()
        thread.join()


def one_trace(spans: list[Span]) -> list[Span]:
    """The spans of the first trace, parents before their children. Raises BenchError where there is none."""
    if not spans:
        raise BenchError("no span came to the collector")
    left = [span for span in spans if span.trace_id == spans[0].trace_id]
    ordered: list[Span] = []
    known = {b""}
    while left:
        ready = [span for span in left if span.parent_span_id in known]
        if not ready:
            raise BenchError(f"{len(left)} spans of a trace have no parent in it")
        ordered += ready
        known |= {span.span_id for span in ready}
        left = [span for span in left if span.span_id not in known]
    return ordered
