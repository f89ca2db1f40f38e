"""Where spans and metrics go: to an OTLP endpoint over HTTP, if the standard OTEL_* variables name one, and nowhere otherwise.

    OTEL_EXPORTER_OTLP_ENDPOINT, …_TRACES_ENDPOINT, …_METRICS_ENDPOINT   where to; none for a signal: nothing of it is recorded
    OTEL_SDK_DISABLED=true, OTEL_TRACES_EXPORTER=none, OTEL_METRICS_EXPORTER=none   nothing is recorded
    OTEL_METRIC_EXPORT_INTERVAL                                       milliseconds; a minute unless given
    OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES                       who we are; `callboard` unless given
    OTEL_TRACES_SAMPLER(_ARG)                                         else the share `trace_sample`, decided at a chain's start
    OTEL_EXPORTER_OTLP_*, OTEL_BSP_*                                  read by the SDK: headers, certificates, batches

Spans wait in a bounded queue for a thread of the SDK; when the endpoint is slow or gone they are dropped, and no run waits.
"""

import os
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Meter
from opentelemetry.sdk.environment_variables import OTEL_TRACES_SAMPLER
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio, Sampler
from opentelemetry.trace import Tracer

from broker.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider

PATIENCE = timedelta(seconds=2)
"""How long a flush may take. Longer than a round trip to any collector that lives, far shorter than a stop's grace."""

Signal = Literal["TRACES", "METRICS"]


class Telemetry:
    """The tracing of one process. Make it after the process has forked: it starts a thread.

    Raises ConfigurationError for a protocol that is not HTTP.
    """

    def __init__(self, *, sample: float = 1.0, version: str = "source") -> None:
        self._provider = _provider(sample, version) if wanted("TRACES") else None
        self._version = version
        self._meters: MeterProvider | None = None

    @property
    def tracer(self) -> Tracer | None:
        """None when nothing is to be recorded."""
        return self._provider.get_tracer("callboard") if self._provider is not None else None

    @property
    def meter(self) -> Meter | None:
        """None when nothing is to be measured for OTLP. Who never asks for it exports nothing."""
        if self._meters is None and wanted("METRICS"):
            self._meters = _meters(self._version)
        return self._meters.get_meter("callboard") if self._meters is not None else None

    def install(self) -> None:
        """Give this provider to libraries and actors that ask OpenTelemetry for one. Only in processes that are ours; a
        provider that is there already (auto-instrumentation) stays, and ours records our own spans beside it."""
        if self._provider is not None and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            trace.set_tracer_provider(self._provider)

    def flush(self, patience: timedelta = PATIENCE) -> bool:
        """Send what waits. False if that took longer than `patience`; it then goes on in the background."""
        return self._provider is None or _within(patience, self._provider.force_flush)

    def shutdown(self, patience: timedelta = PATIENCE) -> bool:
        """Send what waits, then record nothing more. False if that took longer; what was left is lost."""
        traces = self._provider is None or _within(patience, self._provider.shutdown)
        metrics = self._meters is None or _within(patience, self._meters.shutdown)
        return traces and metrics


def wanted(signal: Signal) -> bool:
    """Whether the environment names an endpoint for it and nothing switches it off."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if os.environ.get(f"OTEL_{signal}_EXPORTER", "").strip().lower() == "none":
        return False
    return bool(_given(signal, "ENDPOINT"))


def _given(signal: Signal, what: str) -> str:
    """Of the signal itself, else of all."""
    names = (f"OTEL_EXPORTER_OTLP_{signal}_{what}", f"OTEL_EXPORTER_OTLP_{what}")
    return next((value for name in names if (value := os.environ.get(name, "").strip())), "")


def _provider(sample: float, version: str) -> TracerProvider:
    _refuse_other_protocols("TRACES")
    sampler: Sampler | None = None if os.environ.get(OTEL_TRACES_SAMPLER) else ParentBasedTraceIdRatio(sample)
    provider = TracerProvider(sampler=sampler, resource=_resource(version), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _meters(version: str) -> "MeterProvider":
    """Imported here: a command that publishes an event starts a tenth of a second sooner without."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    _refuse_other_protocols("METRICS")
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    return MeterProvider([reader], _resource(version), shutdown_on_exit=False)


def _refuse_other_protocols(signal: Signal) -> None:
    protocol = _given(signal, "PROTOCOL") or "http/protobuf"
    if protocol != "http/protobuf":
        raise ConfigurationError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}: use http/protobuf (port 4318 of a collector)"
        )


def _resource(version: str) -> Resource:
    resource = Resource({SERVICE_VERSION: version}).merge(Resource.create({}))
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "callboard"}))
    return resource


def _within(patience: timedelta, call: Callable[[], object]) -> bool:
    """The SDK's own flush has no time limit (its parameter is ignored) and its shutdown waits for 30 s: so a thread waits."""
    waiting = threading.Thread(target=call, name="telemetry-flush", daemon=True)
    waiting.start()
    waiting.join(patience.total_seconds())
    return not waiting.is_alive()
