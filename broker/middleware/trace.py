"""One trace from the first event of a story to the last: a span for each publish, each attempt and each step.

A trace context travels in `traceparent`. Without an exporter nothing is recorded, but a context that came in is passed on
and a story that has none gets one, so that every chain has a trace id to show.

No payload reaches a span: of an error it keeps the type, never the message.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Literal
from uuid import UUID

from dramatiq import Broker, MessageProxy
from opentelemetry import context as otel
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Tracer as RecordingTracer
from opentelemetry.sdk.trace.sampling import ParentBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)

from broker.middleware.base import Policy
from broker.signals import Postpone, Suspended
from broker.trace_context import Carried, carried, new_context, read
from broker.work import Work

Attributes = dict[str, str | int]

_ITEM = re.compile(r"\[\d+\]$")
_NOTHING: AbstractContextManager[None] = nullcontext()
_entered: ContextVar["_Attempt | None"] = ContextVar("callboard_attempt", default=None)


class Trace(Policy):
    """First in the list: everything else that happens to an attempt happens inside its span. Until `use` is called nothing is
    recorded."""

    def __init__(self) -> None:
        self._tracer: Tracer | None = None
        self._follows = False
        self._system = ""
        self._destination = ""
        self._resumed = "chain"

    def use(
        self,
        tracer: Tracer | None,
        *,
        system: str,
        destination: str,
        resumed: Literal["chain", "linked"] = "chain",
    ) -> None:
        """Record with `tracer` (None: only pass contexts on). Call it after the process has forked.

        `system` and `destination` are the transport's and the exchange that events are published to. Attempts after the first
        stay in the trace of their event (`chain`) or start one that links to it (`linked`).
        """
        self._tracer = tracer
        self._follows = isinstance(tracer, RecordingTracer) and isinstance(tracer.sampler, ParentBased)
        self._system = system
        self._destination = destination
        self._resumed = resumed

    def around(self, work: Work) -> AbstractContextManager[None]:
        """The span ends with the body. Its context stays until the outcome was handed over: what leaves with it is its child."""
        return _Attempt(self._attempt_span(work), work)

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: object = None,
        exception: BaseException | None = None,
    ) -> None:
        if (attempt := _entered.get()) is not None:
            attempt.leave(exception)

    def traced(self, event_type: str, id: UUID | str) -> tuple[str | None, str | None]:
        """The context that a published event is to carry: of a publish span of its own; unrecorded, what is current."""
        current = get_current_span().get_span_context()
        if self._tracer is None or self._is_dropped(current):
            return carried(current if current.is_valid else new_context())
        # Nothing happens inside it, so it need not become current.
        span = self._published(self._tracer, event_type, self._destination, self._system, id)
        span.end()
        return carried(span.get_span_context())

    def publish_span(
        self,
        event_type: str,
        destination: str,
        system: str,
        *,
        id: UUID | str | None = None,
    ) -> AbstractContextManager[Carried]:
        """Around a publish outside of any run; gives the context that the event is to carry."""
        current = get_current_span().get_span_context()
        if self._tracer is None or self._is_dropped(current):
            return nullcontext(carried(current if current.is_valid else new_context()))
        return _Entered(self._published(self._tracer, event_type, destination, system, id))

    def step_span(self, name: str) -> AbstractContextManager[object]:
        """Around the body of a step. The items of a map share one span name; which one it is stands in an attribute."""
        if self._tracer is None or self._is_dropped(get_current_span().get_span_context()):
            return _NOTHING
        return _Entered(
            _start(self._tracer, f"step {_ITEM.sub('', name)}", SpanKind.INTERNAL, {"callboard.step": name})
        )

    def _published(
        self, tracer: Tracer, event_type: str, destination: str, system: str, id: UUID | str | None
    ) -> Span:
        attributes = _messaging(system, "publish", "send", destination)
        if id is not None:
            attributes["messaging.message.id"] = str(id)
        if (attempt := _entered.get()) is not None:
            attributes["messaging.message.conversation_id"] = attempt.story
        if system == "rabbitmq":
            attributes["messaging.rabbitmq.destination.routing_key"] = event_type
        return _start(tracer, f"publish {event_type}", SpanKind.PRODUCER, attributes)

    def _attempt_span(self, work: Work) -> Span:
        claimed = work.claimed
        parent = read(claimed.envelope.traceparent, claimed.envelope.tracestate)
        if self._tracer is None or (parent is not None and self._is_dropped(parent)):
            return NonRecordingSpan(parent or new_context())
        attributes = _messaging(self._system, "process", "process", claimed.actor)
        attributes["messaging.message.id"] = claimed.envelope.id
        attributes["messaging.message.conversation_id"] = claimed.envelope.correlation_id
        attributes["callboard.run.id"] = str(claimed.id)
        attributes["callboard.attempt"] = claimed.attempt
        if claimed.pipeline is not None:
            attributes["callboard.pipeline"] = claimed.pipeline
        again = bool(claimed.attempt > 1 or claimed.rerun or claimed.crashes or claimed.steps)
        apart = parent is None or (again and self._resumed == "linked")
        context = (
            Context() if apart or parent is None else set_span_in_context(NonRecordingSpan(parent), Context())
        )
        links = [Link(context) for context in (parent, *_gathered(work)) if context is not None]
        return _start(self._tracer, f"process {claimed.actor}", SpanKind.CONSUMER, attributes, context, links)

    def _is_dropped(self, context: SpanContext) -> bool:
        """Whether a span under this context would not be recorded; told without asking the SDK (which costs 6 µs)."""
        return self._follows and context.is_valid and not context.trace_flags.sampled


class _Entered:
    """A span, made current between enter and exit."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> Carried:
        self._token = otel.attach(set_span_in_context(self._span))
        return carried(self._span.get_span_context())

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        otel.detach(self._token)
        _end(self._span, error)


class _Attempt:
    """The span of an attempt. It is entered in a context of its own: nothing of the thread's last run reaches into this one."""

    __slots__ = ("_ended", "_outer", "_span", "_token", "_work")

    def __init__(self, span: Span, work: Work) -> None:
        self._span = span
        self._ended = False
        self._work = work

    @property
    def story(self) -> str:
        return self._work.claimed.envelope.correlation_id

    def __enter__(self) -> None:
        self._token = otel.attach(set_span_in_context(self._span, Context()))
        self._outer = _entered.set(self)

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._ended = True
        if self._work.cancelled:
            self._span.set_attribute("callboard.cancelled", True)
            error = None
        _end(self._span, error)

    def leave(self, error: BaseException | None) -> None:
        """Ends the span too, if an interrupt landed between the body and `__exit__`."""
        _entered.reset(self._outer)
        otel.detach(self._token)
        if not self._ended:
            self.__exit__(None, error, None)


def _gathered(work: Work) -> Iterator[SpanContext | None]:
    """Where the other events of a run that gathered were published."""
    own = work.claimed.envelope.traceparent
    for source in work.claimed.sources:
        if source.traceparent != own:
            yield read(source.traceparent, source.tracestate)


def _messaging(system: str, name: str, kind: str, destination: str) -> Attributes:
    return {
        "messaging.system": system,
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
        "messaging.destination.name": destination,
    }


def _start(
    tracer: Tracer,
    name: str,
    kind: SpanKind,
    attributes: Attributes,
    context: Context | None = None,
    links: Sequence[Link] = (),
) -> Span:
    return tracer.start_span(
        name,
        context,
        kind=kind,
        attributes=attributes,
        links=links,
        record_exception=False,
        set_status_on_exception=False,
    )


def _end(span: Span, error: BaseException | None) -> None:
    """A run that waits has not failed."""
    if error is not None and not isinstance(error, Suspended | Postpone):
        kind = type(error)
        name = (
            kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        )
        span.set_attribute("error.type", name)
        span.set_status(Status(StatusCode.ERROR, name))
    span.end()
