"""How a process logs: one line an event, its name and bound fields, the trace it belongs to, and no secrets.

Library loggers go the same way. Of an exception a line holds the type, the message and where it came from: never the
values that pydantic was given, never a local variable.
"""

import logging
import re
import sys
import traceback
from collections.abc import Iterator
from typing import IO

import structlog
from opentelemetry.trace import get_current_span
from pydantic import ValidationError
from structlog.types import EventDict, Processor, WrappedLogger

from broker.hidden import without_hidden

QUIET = {
    # It prints the arguments of a message with every error; the engine logs what happened to the run.
    "dramatiq.worker": logging.CRITICAL,
    "dramatiq.worker.WorkerThread": logging.CRITICAL,
    "dramatiq": logging.WARNING,
    "pika": logging.CRITICAL,
    "urllib3": logging.WARNING,
    "httpx": logging.WARNING,
}
"""The least level of libraries, whatever ours is."""

# Up to the last @ before a space, a quote or (without a password) a slash: passwords hold anything, and too much hidden
# is better than too little.
_USERINFO = re.compile(r"://(?:[^\s/\"'@:]*:[^\s\"']*|[^\s/\"']+)@")
_PASSWORD = re.compile(r"(?i)\b(password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s\"'&;]+)")
_CHAIN = 5
"""Causes told of one exception."""


def configure(level: str = "info", *, json: bool = False, stream: IO[str] | None = None) -> None:
    """Set up logging for this process, to stderr unless a stream is given. May be repeated; the last call wins."""
    out = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_trace,
        add_error,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = _Handler(out)
    handler.setFormatter(_Formatter(shared, _renderer(json, out)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(max(number, least))


def redact(text: str) -> str:
    """Without the credentials of URLs and connection strings, and without what is marked in the event at hand."""
    text = without_hidden(text)
    if "://" in text:
        text = _USERINFO.sub("://***@", text)
    if "assword" in text or "ASSWORD" in text:
        text = _PASSWORD.sub(r"\1***", text)
    return text


def add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The ids of the current span, if there is one."""
    context = get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = f"{context.trace_id:032x}"
        event["span_id"] = f"{context.span_id:016x}"
    return event


def add_error(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """`exc_info` becomes `exception`: types, messages and places, the newest first."""
    given = event.pop("exc_info", None)
    error = _error_of(given)
    if error is not None:
        event["exception"] = "\n".join(_told(error))
    return event


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Redacts the finished line: whatever a field, a message or an exception brought into it."""

    def __init__(self, shared: list[Processor], renderer: Processor) -> None:
        super().__init__(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _NoLock:
    """A time limit may strike between acquiring a lock and noting so: with a real one no thread could log again.

    A line is one write, and writes of one stream are whole.
    """

    def acquire(self) -> None: ...
    def release(self) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


class _Handler(logging.StreamHandler[IO[str]]):
    def createLock(self) -> None:  # noqa: N802  logging's name
        self.lock = _NoLock()  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]


def _renderer(json: bool, stream: IO[str]) -> Processor:
    if json:
        return structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    return structlog.dev.ConsoleRenderer(colors=stream.isatty())


def _error_of(given: object) -> BaseException | None:
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple):
        return given[1] if isinstance(given[1], BaseException) else None
    return sys.exc_info()[1] if given else None


def _told(error: BaseException) -> Iterator[str]:
    current: BaseException | None = error
    for _ in range(_CHAIN):
        if current is None:
            return
        kind = type(current)
        yield f"{kind.__module__}.{kind.__qualname__}: {_message(current)}"
        for frame in traceback.extract_tb(current.__traceback__):
            yield f"  {frame.filename}:{frame.lineno} in {frame.name}"
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _message(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False, include_context=False)
        )
    return str(error)
