"""W3C Trace Context, as events carry it in `traceparent` and `tracestate`."""

import random
import re
from typing import NamedTuple

from opentelemetry.trace import SpanContext, TraceFlags, TraceState

_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Carried(NamedTuple):
    """A trace context as an event carries it."""

    traceparent: str | None
    tracestate: str | None


def read(traceparent: str | None, tracestate: str | None) -> SpanContext | None:
    """The context that an event carries; None if there is none, or none that W3C Trace Context allows."""
    match = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if match is None or (match[1] == "00" and match[5]):
        return None
    state = TraceState.from_header([tracestate]) if tracestate else None
    context = SpanContext(int(match[2], 16), int(match[3], 16), True, TraceFlags(int(match[4], 16)), state)
    return context if context.is_valid else None


def carried(context: SpanContext) -> Carried:
    state = context.trace_state.to_header() if context.trace_state else None
    return Carried(
        f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}", state or None
    )


def new_context() -> SpanContext:
    """Not sampled: nobody records the span that it names."""
    # An identity, no secret: the SDK draws its ids the same way.
    return SpanContext(random.getrandbits(128) or 1, random.getrandbits(64) or 1, False)
