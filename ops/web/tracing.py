"""The first span of a story that begins at a door: the events that are kept inside it are its children."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    NoOpTracer,
    Span,
    SpanKind,
    Status,
    StatusCode,
    set_span_in_context,
)
from starlette.requests import Request
from starlette.responses import Response

from broker import Settings
from broker.middleware.trace import Trace
from broker.telemetry import Telemetry
from broker.trace_context import read
from ops.web.live import Live

Answer = Callable[[Request], Awaitable[Response]]


class DoorSpans:
    """Records where the standard OTEL_* variables name an endpoint. What a stranger says of his trace is not looked at: he would
    decide what is recorded here. Who has a key is no stranger."""

    def __init__(self, settings: Settings, live: Live, system: str) -> None:
        telemetry = Telemetry(sample=settings.trace_sample)
        live.at_end(telemetry.shutdown)
        self._tracer = telemetry.tracer or NoOpTracer()
        self.trace = Trace()
        """For the publisher that writes inside these spans."""
        self.trace.use(telemetry.tracer, system=system, destination=f"{settings.namespace}.events")

    def around(self, route: str, answer: Answer, *, trusting: bool = False) -> Answer:
        """The same answers, in a span that is named after the route, never after the address that was asked for. With `trusting`
        it goes on with the caller's trace."""

        async def answered(request: Request) -> Response:
            with self._span(request, route, _context(request) if trusting else None) as span:
                response = await answer(request)
                span.set_attribute("http.response.status_code", response.status_code)
                if response.status_code >= 500:
                    span.set_status(Status(StatusCode.ERROR))
                return response

        return answered

    def _span(self, request: Request, route: str, context: Context | None) -> AbstractContextManager[Span]:
        return self._tracer.start_as_current_span(
            f"{request.method} {route}",
            context,
            kind=SpanKind.SERVER,
            attributes={"http.request.method": request.method, "http.route": route},
            record_exception=False,
            set_status_on_exception=False,
        )


def _context(request: Request) -> Context | None:
    """Of W3C's header; a malformed one is none."""
    found = read(request.headers.get("traceparent"), request.headers.get("tracestate"))
    return set_span_in_context(NonRecordingSpan(found), Context()) if found is not None else None
