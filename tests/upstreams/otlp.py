"""A collector of its own, on loopback: it takes spans by OTLP over gRPC, as an operator's would, and shows them.

with collector() as traces:
    ... OTEL_EXPORTER_OTLP_ENDPOINT=traces.url ...
    traces.line("ticks publish", "mail send")
"""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

WAIT_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class CollectedSpan:
    """One span, as it was exported; `parent_id` is empty at the beginning of a trace."""

    process: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    began_at_nanoseconds: int
    seconds: float
    has_failed: bool
    attributes: tuple[tuple[str, str], ...]


class Traces(trace_service_pb2_grpc.TraceServiceServicer):
    """What was collected so far."""

    def __init__(self) -> None:
        self.url = ""
        self._spans: list[CollectedSpan] = []
        self._has_more = threading.Condition()

    def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: object
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        with self._has_more:
            for resource in request.resource_spans:
                [process] = [
                    each.value.string_value for each in resource.resource.attributes if each.key == SERVICE_NAME
                ]
                self._spans.extend(_span_of(process, span) for scope in resource.scope_spans for span in scope.spans)
            self._has_more.notify_all()
        return trace_service_pb2.ExportTraceServiceResponse()

    @property
    def spans(self) -> Sequence[CollectedSpan]:
        with self._has_more:
            return tuple(self._spans)

    def line(self, first: str, last: str) -> Sequence[CollectedSpan]:
        """Return the spans of a trace that begins with one name down to one of another, once all have arrived."""
        deadline = time.monotonic() + WAIT_SECONDS
        with self._has_more:
            while True:
                lines = (self._line_to(span) for span in self._spans if span.name == last)
                found = next((line for line in lines if line and line[0].name == first), None)
                if found is not None:
                    return found
                left = deadline - time.monotonic()
                assert left > 0, f"no trace leads from {first} to {last}: {sorted({each.name for each in self._spans})}"
                self._has_more.wait(left)

    def _line_to(self, last: CollectedSpan) -> Sequence[CollectedSpan]:
        known = {(span.trace_id, span.span_id): span for span in self._spans}
        line = [last]
        while line[0].parent_id:
            parent = known.get((last.trace_id, line[0].parent_id))
            if parent is None:
                return []
            line.insert(0, parent)
        return line


SERVICE_NAME = "service.name"


def _span_of(process: str, span: trace_pb2.Span) -> CollectedSpan:
    return CollectedSpan(
        process=process,
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        began_at_nanoseconds=span.start_time_unix_nano,
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        has_failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        attributes=tuple((each.key, each.value.string_value) for each in span.attributes),
    )


@contextmanager
def collector() -> Iterator[Traces]:
    """Collect spans until the block is left."""
    traces = Traces()
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(traces, server)  # type: ignore[no-untyped-call]  # it has no stubs
    traces.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield traces
    finally:
        server.stop(grace=None).wait()


def table_of(spans: Sequence[CollectedSpan]) -> str:
    """Return a line of spans as a Markdown table: when each began after the first, and how long it took."""
    rows = ["| process | span | kind | began after, ms | took, ms |", "|---|---|---|---|---|"]
    for span in spans:
        after = (span.began_at_nanoseconds - spans[0].began_at_nanoseconds) / 1e6
        rows.append(f"| {span.process} | {span.name} | {span.kind} | {after:.1f} | {span.seconds * 1e3:.1f} |")
    return "\n".join(rows)
