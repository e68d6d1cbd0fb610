"""Ask one process whether it serves, and say so by the exit code: what a container's health check runs.

`python -m chassis.probe 127.0.0.1:7102` asks the gRPC health service; `python -m chassis.probe
http://127.0.0.1:8000/readyz` wants a successful answer.
"""

import argparse
import sys
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis.process import load_settings
from chassis.settings import ProcessSettings

TIMEOUT_SECONDS = 2.0
# The proxy of the environment is the way to vendors.
OPTIONS = (("grpc.enable_http_proxy", 0),)


def is_serving(target: str, *, service: str, settings: ProcessSettings) -> bool:
    """Say whether the process serves.

    Args:
        target: `host:port` of a gRPC server, or an address that begins with `http://`.
        service: the name the gRPC health service is asked about; empty for the whole process.
        settings: whether gRPC speaks mutual TLS here.
    """
    return _succeeds(target) if target.startswith("http://") else _serves_rpc(target, service, settings)


def _succeeds(url: str) -> bool:
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=TIMEOUT_SECONDS):
            return True
    except (URLError, OSError):
        return False


def _serves_rpc(address: str, service: str, settings: ProcessSettings) -> bool:
    with _channel(address, settings) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _channel(address: str, settings: ProcessSettings) -> grpc.Channel:
    if settings.grpc_tls_certificate is None or settings.grpc_tls_key is None or settings.grpc_tls_authority is None:
        return grpc.insecure_channel(address, options=OPTIONS)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=settings.grpc_tls_authority.read_bytes(),
        private_key=settings.grpc_tls_key.read_bytes(),
        certificate_chain=settings.grpc_tls_certificate.read_bytes(),
    )
    return grpc.secure_channel(address, credentials, options=OPTIONS)


def main(arguments: list[str] | None = None) -> int:
    """Return 0 when the process serves, else 1."""
    parser = argparse.ArgumentParser(prog="python -m chassis.probe", description="Ask a process whether it serves.")
    parser.add_argument("target", help="host:port of a gRPC server, or http://host:port/path")
    parser.add_argument("--service", default="", help="a name of the gRPC health service; the whole process without it")
    asked = parser.parse_args(arguments)
    serves = is_serving(asked.target, service=asked.service, settings=load_settings(ProcessSettings))
    return 0 if serves else 1


if __name__ == "__main__":
    sys.exit(main())
