"""A gRPC server with one place where errors become statuses."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.any import pack
from google.protobuf.duration import from_nanoseconds
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2_grpc
from grpc_status import rpc_status

from chassis.errors import Code, ServiceError
from chassis.health import Health
from chassis.logs import request_id
from chassis.metrics import counter, histogram, reading
from chassis.observability import observable
from chassis.settings import AddressInUse, ProcessSettings
from chassis.tracing import TRACE_PARENT, SpanKind, span

log = logging.getLogger(__name__)

ERROR_DOMAIN = "bourse"
REQUEST_ID_KEY = "x-request-id"
MAX_CONCURRENT_RPCS = 2_000
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_METADATA_LENGTH = 64
MAX_TOLD_BYTES = 3_000
PLAIN_BYTES = bytes({*range(32, 127)} - {*b"%"})
LEAVE_SECONDS = 0.1
CONNECTION_AGE_SECONDS = 120
# No call takes as long: what is under way on a connection that has come of age ends on it.
CONNECTION_GRACE_SECONDS = 120

CALLS = counter("bourse_rpc_calls", "Calls answered, by canonical code.", ["service", "method", "code"])
CALL_SECONDS = histogram("bourse_rpc_seconds", "How long calls took to answer.", ["service", "method"])

Register = Callable[[grpc.aio.Server], None]
Behaviour = Callable[[Any, "grpc.aio.ServicerContext[Any, Any]"], Awaitable[Any]]


def status_of(error: ServiceError) -> status_pb2.Status:
    """Return the gRPC status that carries an error's code, message, reason and retry delay.

    The message is cut to what arrives: 3,000 bytes of plain text, 1,500 of text that is not.
    """
    details = [pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN))]
    if error.retry_after_seconds is not None:
        delay = from_nanoseconds(int(error.retry_after_seconds * 1e9))
        details.append(pack(error_details_pb2.RetryInfo(retry_delay=delay)))
    message = error.message.encode(errors="replace")
    # It travels twice in trailers of 8 KiB: percent-encoded, where what is not plain takes three bytes, and in base64.
    limit = max(MAX_TOLD_BYTES // 2, MAX_TOLD_BYTES - sum(byte not in PLAIN_BYTES for byte in message))
    return status_pb2.Status(
        code=code_pb2.Code.Value(error.code.value),
        message=message[:limit].decode(errors="ignore"),
        details=details,
    )


class _HandlerTimedOut(ServiceError):
    code = Code.DEADLINE_EXCEEDED
    reason = "TIMEOUT"

    def __init__(self) -> None:
        super().__init__("the call did not finish in time")


class _Unexpected(ServiceError):
    def __init__(self) -> None:
        super().__init__("An unexpected error occurred")


class _ErrorInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc, unused-ignore]
    """Gives each call its request id and turns what a handler raises into a status."""

    def __init__(self, deadline_seconds: float) -> None:
        self._deadline_seconds = deadline_seconds
        self.in_flight = 0

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap unary methods; anything else passes."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        guarded = self._guard(handler.unary_unary, handler_call_details.method)
        return grpc.unary_unary_rpc_method_handler(
            guarded,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _guard(self, behaviour: Behaviour, path: str) -> Behaviour:
        _, service, method = path.split("/")
        seconds = CALL_SECONDS.labels(service, method)

        async def guarded(request: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> Any:
            request_id.set(_metadata_of(context, REQUEST_ID_KEY) or "-")
            started = time.perf_counter()
            self.in_flight += 1
            # What ends a call without an outcome is a caller who left.
            code = "CANCELLED"
            try:
                with span(path, SpanKind.SERVER, parent=_metadata_of(context, TRACE_PARENT)):
                    outcome = await self._outcome(behaviour, request, context, method=path)
                if not isinstance(outcome, ServiceError):
                    code = "OK"
                    return outcome
                code = outcome.code.value
                duration = round((time.perf_counter() - started) * 1e3, 1)
                log.debug("call refused", extra={"method": path, "reason": outcome.reason, "duration_ms": duration})
                return await context.abort_with_status(rpc_status.to_status(status_of(outcome)))
            finally:
                self.in_flight -= 1
                seconds.observe(time.perf_counter() - started)
                CALLS.labels(service, method, code).inc()

        return guarded

    async def _outcome(
        self, behaviour: Behaviour, request: Any, context: "grpc.aio.ServicerContext[Any, Any]", *, method: str
    ) -> Any:
        """Return what a handler answers, or why it does not."""
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await behaviour(request, context)
        except ServiceError as error:
            return error
        except TimeoutError:
            return _HandlerTimedOut()
        except grpc.aio.AbortError:
            raise
        except Exception:
            log.exception("call failed", extra={"method": method})
            return _Unexpected()


def _metadata_of(context: "grpc.aio.ServicerContext[Any, Any]", name: str) -> str | None:
    for key, value in context.invocation_metadata() or ():
        if key == name and isinstance(value, str):
            return value[:MAX_METADATA_LENGTH]
    return None


@asynccontextmanager
async def serving(
    address: str, registrations: Sequence[Register], *, health: Health, settings: ProcessSettings
) -> AsyncIterator[grpc.aio.Server]:
    """Serve the registered services and the health service at `address` until the block is left.

    What operators ask is answered beside it, at METRICS_ADDRESS. Leaving says NOT_SERVING first, refuses new calls and
    gives running ones SHUTDOWN_GRACE_SECONDS.

    Raises:
        AddressInUse: nothing could be bound.
        ListenerExposed: the address is outside loopback and unguarded.
    """
    settings.require_guarded_listener(address)
    guard = _ErrorInterceptor(deadline_seconds=settings.rpc_deadline_seconds * 2)
    server = grpc.aio.server(
        interceptors=[guard],
        maximum_concurrent_rpcs=MAX_CONCURRENT_RPCS,
        options=[
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            # Callers ping while they have calls, and they always have one: they watch whether calls are accepted.
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
            ("grpc.http2.max_ping_strikes", 0),
            # Callers look names up again when a connection ends: that is how they find replicas that came later.
            ("grpc.max_connection_age_ms", CONNECTION_AGE_SECONDS * 1_000),
            ("grpc.max_connection_age_grace_ms", CONNECTION_GRACE_SECONDS * 1_000),
        ],
    )
    for register in registrations:
        register(server)
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    try:
        with reading("bourse_rpc_in_flight", "Calls being answered.", lambda: float(guard.in_flight)):
            # Before anybody can ask: until it is told otherwise, the health service says that all is well.
            async with health.watching():
                _bind(server, address, settings)
                await server.start()
                log.info("listening", extra={"address": address})
                async with observable(settings, health.failing):
                    yield server
    finally:
        await health.stop_serving()
        # Who watches goes elsewhere: gRPC cancels what is still on its way when it stops.
        await health.servicer.wait_until_unwatched(min(LEAVE_SECONDS, settings.shutdown_grace_seconds / 10))
        health.servicer.end_watches()
        await server.stop(settings.shutdown_grace_seconds)


def _bind(server: grpc.aio.Server, address: str, settings: ProcessSettings) -> None:
    try:
        _add_port(server, address, settings)
    except RuntimeError as error:
        raise AddressInUse(address) from error


def _add_port(server: grpc.aio.Server, address: str, settings: ProcessSettings) -> None:
    if settings.grpc_tls_certificate is None or settings.grpc_tls_key is None or settings.grpc_tls_authority is None:
        server.add_insecure_port(address)
        return
    credentials = grpc.ssl_server_credentials(
        [(settings.grpc_tls_key.read_bytes(), settings.grpc_tls_certificate.read_bytes())],
        root_certificates=settings.grpc_tls_authority.read_bytes(),
        require_client_auth=True,
    )
    server.add_secure_port(address, credentials)
