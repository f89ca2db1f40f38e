"""Log lines: what they hold, and what they must not."""

import json
import logging
import threading
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
import structlog
from opentelemetry.trace import NonRecordingSpan, SpanContext, use_span
from pydantic import BaseModel

from broker import logs


class Address(BaseModel):
    number: int


@pytest.fixture
def lines() -> Iterator[StringIO]:
    """Where lines go; logging is as before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    quiet = {name: logging.getLogger(name).level for name in logs.QUIET}
    yield StringIO()
    root.handlers[:], root.level = handlers, level
    for name, before in quiet.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


def fail(error: Exception, cause: Exception | None = None) -> None:
    raise error from cause


def records(stream: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_an_event_name_and_its_fields(lines: StringIO) -> None:
    logs.configure("info", json=True, stream=lines)

    structlog.get_logger("broker.engine").bind(run_id="r1").info("run_finished", attempt=2)

    (record,) = records(lines)
    record.pop("timestamp")
    assert record == {
        "event": "run_finished",
        "logger": "broker.engine",
        "level": "info",
        "run_id": "r1",
        "attempt": 2,
    }


def test_a_line_belongs_to_the_current_span(lines: StringIO) -> None:
    logs.configure("info", json=True, stream=lines)

    with use_span(NonRecordingSpan(SpanContext(0xA, 0xB, False))):
        structlog.get_logger().info("inside")
    structlog.get_logger().info("outside")

    inside, outside = records(lines)
    assert (inside["trace_id"], inside["span_id"]) == (f"{0xA:032x}", f"{0xB:016x}")
    assert "trace_id" not in outside


def test_libraries_log_the_same_way(lines: StringIO) -> None:
    logs.configure("info", json=True, stream=lines)

    logging.getLogger("some.library").warning("slow: %s", "query", extra={"rows": 3})

    (record,) = records(lines)
    assert (record["event"], record["logger"], record["level"], record["rows"]) == (
        "slow: query",
        "some.library",
        "warning",
        3,
    )


def test_the_level_is_a_setting(lines: StringIO) -> None:
    logs.configure("warning", json=True, stream=lines)

    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")

    assert [record["event"] for record in records(lines)] == ["loud"]


@pytest.mark.parametrize("name", ["dramatiq.worker.WorkerThread", "dramatiq.worker", "pika.adapters"])
def test_libraries_that_print_arguments_are_silent(lines: StringIO, name: str) -> None:
    logs.configure("debug", json=True, stream=lines)

    logging.getLogger(name).info("received %r", "payload")
    if name.startswith("dramatiq"):
        logging.getLogger(name).error("failed to process %r", "payload")

    assert lines.getvalue() == ""


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "console"])
def test_pydantic_input_reaches_no_line(lines: StringIO, as_json: bool) -> None:
    logs.configure("info", json=as_json, stream=lines)
    try:
        Address.model_validate({"number": "topsecret"})
    except ValueError:
        structlog.get_logger().exception("invalid")
        logging.getLogger("some.library").exception("invalid too")

    text = lines.getvalue()
    assert "topsecret" not in text
    assert text.count("number: Input should be a valid integer") == 2


def test_an_exception_is_told_with_its_cause_and_places(lines: StringIO) -> None:
    logs.configure("info", json=True, stream=lines)
    try:
        fail(RuntimeError("cannot start"), ConnectionError("refused"))
    except RuntimeError:
        structlog.get_logger().exception("failed")

    (record,) = records(lines)
    told = record["exception"].splitlines()
    assert told[0] == "builtins.RuntimeError: cannot start"
    assert "builtins.ConnectionError: refused" in told
    assert any("test_logs.py" in line for line in told)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("amqp://guest:guest@rabbit:5672/%2f", "amqp://***@rabbit:5672/%2f"),
        ("postgresql://app:p@ss/w:rd@db/app", "postgresql://***@db/app"),
        ("https://token@host/path", "https://***@host/path"),
        ("amqp://a:b@one, amqp://c:d@two", "amqp://***@one, amqp://***@two"),
        ("host=db password='a b' user=app", "host=db password=*** user=app"),
        ("host=db PASSWORD=geheim user=app", "host=db PASSWORD=*** user=app"),
        ("http://host:8080/users?q=1", "http://host:8080/users?q=1"),
        ("bob@example.com wrote", "bob@example.com wrote"),
    ],
)
def test_credentials_are_hidden(text: str, shown: str) -> None:
    assert logs.redact(text) == shown


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "console"])
def test_credentials_are_hidden_wherever_they_stand(lines: StringIO, as_json: bool) -> None:
    logs.configure("info", json=as_json, stream=lines)
    url = "amqp://app:geheim@rabbit/"

    structlog.get_logger().info("connecting", urls=[url], nested={"to": url})
    logging.getLogger("some.library").warning("lost %s", url)
    try:
        fail(OSError(url))
    except OSError:
        structlog.get_logger().exception("failed")

    assert "geheim" not in lines.getvalue()
    assert "rabbit" in lines.getvalue()


def test_the_handler_holds_no_lock_that_an_interrupt_could_leave_held(lines: StringIO) -> None:
    """Many threads at once still write whole lines."""
    logs.configure("info", json=True, stream=lines)
    log = structlog.get_logger()

    def write() -> None:
        for number in range(200):
            log.info("line", number=number, filler="x" * 200)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(records(lines)) == 1600
    assert not hasattr(logging.getLogger().handlers[0].lock, "_is_owned")
