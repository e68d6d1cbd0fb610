"""Asks a process whether it is healthy, once."""

import http.client
import json
import socket
from collections.abc import Callable, Mapping

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis.rpc_credentials import client_credentials
from chassis.settings import ProcessSettings
from suite.plan import ProcessPlan, Role

PROBE_TIMEOUT_SECONDS = 1.0
READINESS_PATH = "/readyz"
HEALTH_PATH = "/api/health"
SERVING = "serving"
# As in chassis: a proxy of the environment is the way to vendors.
OPTIONS = (("grpc.enable_http_proxy", 0),)

Probe = Callable[[ProcessPlan, ProcessSettings], bool]


def is_healthy(process: ProcessPlan, settings: ProcessSettings) -> bool:
    """Say whether the process serves now: gRPC health, the gateway's readiness route, or an accepted connection."""
    return PROBES[process.role](process, settings)


def _accepts(process: ProcessPlan, _: ProcessSettings) -> bool:
    host, _separator, port = process.address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=PROBE_TIMEOUT_SECONDS):
            return True
    except OSError:
        return False


def _serves_rpc(process: ProcessPlan, settings: ProcessSettings) -> bool:
    with _channel(process.address, settings) as channel:
        try:
            request = health_pb2.HealthCheckRequest(service="")
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=PROBE_TIMEOUT_SECONDS)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _channel(address: str, settings: ProcessSettings) -> grpc.Channel:
    credentials = client_credentials(settings)
    if credentials is None:
        return grpc.insecure_channel(address, options=OPTIONS)
    return grpc.secure_channel(address, credentials, options=OPTIONS)


def _serves_http(process: ProcessPlan, _: ProcessSettings) -> bool:
    """Say whether the gateway is ready and has reached every service, so that the first request finds all of them."""
    connection = http.client.HTTPConnection(process.address, timeout=PROBE_TIMEOUT_SECONDS)
    try:
        if _fetch(connection, READINESS_PATH) is None:
            return False
        health = _fetch(connection, HEALTH_PATH)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return health is not None and _reaches_all(health)


def _reaches_all(health: bytes) -> bool:
    services = json.loads(health)["services"]
    return all(service["status"] == SERVING for service in services.values())


def _fetch(connection: http.client.HTTPConnection, path: str) -> bytes | None:
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    return body if answer.status == http.HTTPStatus.OK else None


PROBES: Mapping[Role, Probe] = {Role.BUS: _accepts, Role.SERVICE: _serves_rpc, Role.GATEWAY: _serves_http}
