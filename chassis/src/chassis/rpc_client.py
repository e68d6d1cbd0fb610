"""gRPC channels with a deadline on every call, bounded retries of reads, and the request id passed on."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from chassis.health import ACCEPTING
from chassis.logs import request_id
from chassis.metrics import counter, histogram
from chassis.rpc_credentials import client_credentials
from chassis.rpc_server import MAX_MESSAGE_BYTES, REQUEST_ID_KEY
from chassis.settings import ProcessSettings
from chassis.tracing import TRACE_PARENT, SpanKind, parent_here, span

CALLS = counter("bourse_rpc_client_calls", "Calls made, by canonical code.", ["service", "method", "code"])
CALL_SECONDS = histogram("bourse_rpc_client_seconds", "How long calls made took.", ["service", "method"])

RETRY_POLICY = {
    "maxAttempts": 3,
    "initialBackoff": "0.05s",
    "maxBackoff": "0.5s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


def service_config(contracts: Sequence[FileDescriptor]) -> str:
    """Return the gRPC service config.

    Calls go in turn to all replicas that say that they accept some; those marked NO_SIDE_EFFECTS are retried.
    """
    names = [
        {"service": service.full_name, "method": method.name}
        for contract in contracts
        for service in contract.services_by_name.values()
        for method in service.methods
        if _has_no_side_effects(method)
    ]
    retried = [{"name": names, "retryPolicy": RETRY_POLICY}] if names else []
    return json.dumps(
        {
            "loadBalancingConfig": [{"round_robin": {}}],
            "healthCheckConfig": {"serviceName": ACCEPTING},
            "methodConfig": retried,
        }
    )


def _has_no_side_effects(method: MethodDescriptor) -> bool:
    return bool(method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS)


class DeadlineInterceptor(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc, unused-ignore]
    """Gives a call without a deadline the default one, and every call the request id."""

    def __init__(self, deadline_seconds: float) -> None:
        self._deadline_seconds = deadline_seconds

    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Add what the caller left out."""
        path = _text_of(client_call_details.method)
        with span(path, SpanKind.CLIENT):
            metadata = grpc.aio.Metadata(*(client_call_details.metadata or ()))
            metadata.add(REQUEST_ID_KEY, request_id.get())
            if (parent := parent_here()) is not None:
                metadata.add(TRACE_PARENT, parent)
            details = grpc.aio.ClientCallDetails(
                method=client_call_details.method,
                timeout=client_call_details.timeout or self._deadline_seconds,
                metadata=metadata,
                credentials=client_call_details.credentials,
                wait_for_ready=client_call_details.wait_for_ready,
            )
            return await _counted(continuation, details, request)


def _text_of(method: str | bytes) -> str:
    return method if isinstance(method, str) else method.decode()


async def _counted(
    continuation: Callable[[grpc.aio.ClientCallDetails, Any], Any], details: grpc.aio.ClientCallDetails, request: Any
) -> Any:
    """Make a call, and count it once it is done."""
    _, service, method = _text_of(details.method).split("/")
    began_at = time.perf_counter()
    code = grpc.StatusCode.CANCELLED
    call = await continuation(details, request)
    try:
        code = await call.code()
    except asyncio.CancelledError:
        call.cancel()
        raise
    finally:
        CALL_SECONDS.labels(service, method).observe(time.perf_counter() - began_at)
        CALLS.labels(service, method, code.name).inc()
    return call


def open_channel(
    address: str,
    contracts: Sequence[FileDescriptor],
    *,
    settings: ProcessSettings,
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
) -> grpc.aio.Channel:
    """Open a channel to a service; it connects when first used and reconnects within a second.

    Args:
        address: `host:port` of the service; a name that has several addresses is that of its replicas.
        contracts: the files whose services are called, which say what may be retried.
        settings: deadline and TLS.
        interceptors: run outside the deadline's.
    """
    options = [
        ("grpc.service_config", service_config(contracts)),
        ("grpc.enable_retries", 1),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        # Shared with a channel that was closed, a connection can still be waiting for a server that has long been back.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        # The proxy of the environment is the way to vendors; it has no business with what services tell one another.
        ("grpc.enable_http_proxy", 0),
    ]
    chain = [*interceptors, DeadlineInterceptor(settings.rpc_deadline_seconds)]
    credentials = client_credentials(settings)
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=options, interceptors=chain)
    return grpc.aio.secure_channel(address, credentials, options=options, interceptors=chain)


def reason_of(error: grpc.aio.AioRpcError) -> str | None:
    """Return the stable reason a service of ours gave; None when the failure is the transport's."""
    for detail in _details_of(error):
        info = error_details_pb2.ErrorInfo()
        if detail.Is(info.DESCRIPTOR) and detail.Unpack(info):
            return str(info.reason)
    return None


def retry_after_of(error: grpc.aio.AioRpcError) -> float | None:
    """Return after how many seconds the service says that trying again may succeed; None when it does not say."""
    for detail in _details_of(error):
        retry = error_details_pb2.RetryInfo()
        if detail.Is(retry.DESCRIPTOR) and detail.Unpack(retry):
            return float(retry.retry_delay.ToTimedelta().total_seconds())
    return None


def _details_of(error: grpc.aio.AioRpcError) -> list[Any]:
    for key, value in error.trailing_metadata() or ():
        if key == rpc_status.GRPC_DETAILS_METADATA_KEY:
            return list(rpc_status.status_pb2.Status.FromString(value).details)
    return []
