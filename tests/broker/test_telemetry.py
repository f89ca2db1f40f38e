"""Telemetry: when spans are sent, who sends them, and that nobody waits for it."""

import os
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Tracer

from broker.errors import ConfigurationError
from broker.telemetry import Telemetry, wanted
from tests.support.otlp import Receiver, running_receiver


@pytest.fixture
def collector() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


def tracer_of(telemetry: Telemetry) -> Tracer:
    tracer = telemetry.tracer
    assert tracer is not None
    return tracer


def test_without_an_endpoint_nothing_is_recorded() -> None:
    telemetry = Telemetry()

    assert telemetry.tracer is None
    assert telemetry.flush()
    assert telemetry.shutdown()


@pytest.mark.parametrize(("name", "value"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")])
def test_the_standard_switches_turn_it_off(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv(name, value)

    assert not wanted("TRACES")


def test_the_endpoint_of_traces_alone_is_used_as_it_is(
    monkeypatch: pytest.MonkeyPatch, collector: Receiver
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{collector.endpoint}/custom/path")
    telemetry = Telemetry()
    tracer_of(telemetry).start_span("one").end()

    assert telemetry.shutdown()
    assert collector.paths == ["/custom/path"]


def test_names_of_the_service_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, collector: Receiver
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "billing")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
    telemetry = Telemetry()
    tracer_of(telemetry).start_span("one").end()
    telemetry.shutdown()

    (span,) = collector.spans("one")
    assert span.resource["service.name"] == "billing"
    assert span.resource["deployment.environment.name"] == "staging"


def test_the_share_that_is_sampled_is_a_setting(monkeypatch: pytest.MonkeyPatch, collector: Receiver) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    telemetry = Telemetry(sample=0.0)
    tracer_of(telemetry).start_span("one").end()
    telemetry.shutdown()

    assert collector.spans() == []


def test_the_standard_sampler_variable_goes_before_the_setting(
    monkeypatch: pytest.MonkeyPatch, collector: Receiver
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    telemetry = Telemetry(sample=0.0)
    tracer_of(telemetry).start_span("one").end()
    telemetry.shutdown()

    assert len(collector.spans("one")) == 1


def test_a_collector_that_does_not_answer_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, collector: Receiver
) -> None:
    """503 makes the exporter try again, for 10 s and more."""
    collector.refuse = 503
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    telemetry = Telemetry()
    began = time.monotonic()
    for number in range(10_000):
        tracer_of(telemetry).start_span(f"span {number}").end()
    recorded = time.monotonic() - began

    assert not telemetry.flush(timedelta(milliseconds=200))
    assert not telemetry.shutdown(timedelta(milliseconds=200))
    assert recorded < 5
    assert time.monotonic() - began - recorded < 3


def test_a_protocol_that_is_not_http_is_refused_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")

    with pytest.raises(ConfigurationError, match="use http/protobuf"):
        Telemetry()


def test_making_one_does_not_touch_the_global_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry import trace

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    before = trace.get_tracer_provider()
    telemetry = Telemetry()

    assert trace.get_tracer_provider() is before
    telemetry.shutdown(timedelta(milliseconds=100))


def test_install_leaves_a_provider_that_is_there_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry import trace

    theirs = TracerProvider(shutdown_on_exit=False)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", theirs)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    telemetry = Telemetry()
    telemetry.install()

    assert trace.get_tracer_provider() is theirs
    telemetry.shutdown(timedelta(milliseconds=100))


def test_spans_of_a_forked_child_arrive(monkeypatch: pytest.MonkeyPatch, collector: Receiver) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    child = os.fork()
    if child == 0:
        try:
            telemetry = Telemetry()
            tracer_of(telemetry).start_span("from the child").end()
            os._exit(0 if telemetry.shutdown() else 1)
        finally:
            os._exit(2)

    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    collector.wait_for(lambda spans: [span.name for span in spans] == ["from the child"])
