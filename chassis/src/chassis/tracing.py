"""Traces: who waited for whom, from a request or a tick to the mail, as OpenTelemetry's spans.

Off unless OTEL_EXPORTER_OTLP_ENDPOINT says where they go; until then the SDK is not loaded, and a span costs half a
microsecond. A span names what was done, of which kind, and whether it failed: never an exception's text, nor whose
request it was.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from chassis.logs import request_id
from chassis.settings import ProcessSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

log = logging.getLogger(__name__)

__all__ = ["TRACE_PARENT", "SpanKind", "exporting", "parent_here", "span", "tracing_to"]

TRACE_PARENT = "traceparent"
EXPORT_TIMEOUT_SECONDS = 2

Attributes = Mapping[str, str | int | float | bool]

_PROPAGATOR = TraceContextTextMapPropagator()


class _Tracing:
    """Where spans go in this process; nowhere at first."""

    tracer: Tracer | None = None


@contextmanager
def exporting(name: str, settings: ProcessSettings) -> Iterator[None]:
    """Send spans to OTEL_EXPORTER_OTLP_ENDPOINT until the block is left; without one, do nothing.

    A collector that is away costs spans, never a request: they wait in a bounded queue, and the oldest are dropped.

    Args:
        name: what the process is called in traces.
        settings: where spans go; the SDK reads its other standard variables (OTEL_TRACES_SAMPLER, ...) by itself.
    """
    endpoint = settings.otel_exporter_otlp_endpoint
    if endpoint is None:
        yield
        return
    # Together they take half a second to import, which nobody who exports nothing has to wait for.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    exporter = OTLPSpanExporter(
        endpoint=endpoint, insecure=endpoint.startswith("http://"), timeout=EXPORT_TIMEOUT_SECONDS
    )
    with tracing_to(name, BatchSpanProcessor(exporter)):
        log.info("traces are exported")
        yield


@contextmanager
def tracing_to(name: str, processor: "SpanProcessor") -> Iterator[None]:
    """Hand spans to a processor until the block is left."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  # the SDK, as above
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

    provider = TracerProvider(resource=Resource.create({"service.name": f"bourse-{name}"}), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    _Tracing.tracer = provider.get_tracer("bourse")
    try:
        yield
    finally:
        _Tracing.tracer = None
        provider.shutdown()


def span(
    name: str, kind: SpanKind, *, parent: str | None = "", attributes: Attributes | None = None
) -> AbstractContextManager[Any]:
    """Time a block as a span, the current one inside it; nothing while spans go nowhere.

    Args:
        name: what is done, of bounded variety.
        kind: on which side of what.
        parent: the `traceparent` of the span it is part of; "" takes the current one, None begins a trace of its own.
        attributes: what else may be told; nothing of users, nothing secret.
    """
    tracer = _Tracing.tracer
    return nullcontext() if tracer is None else _recorded(tracer, name, kind, parent=parent, attributes=attributes)


@contextmanager
def _recorded(
    tracer: Tracer, name: str, kind: SpanKind, *, parent: str | None, attributes: Attributes | None
) -> Iterator[Span]:
    context = None if parent == "" else _PROPAGATOR.extract({TRACE_PARENT: parent or ""}, Context())
    told = {"request.id": request_id.get(), **(attributes or {})}
    with tracer.start_as_current_span(
        name, context=context, kind=kind, attributes=told, record_exception=False, set_status_on_exception=False
    ) as recorded:
        try:
            yield recorded
        except BaseException as error:
            # Its text can hold what a trace must not.
            recorded.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def parent_here() -> str | None:
    """Return the `traceparent` of the current span; None when there is none, or it is not recorded."""
    if _Tracing.tracer is None or not trace.get_current_span().get_span_context().trace_flags.sampled:
        return None
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get(TRACE_PARENT)
