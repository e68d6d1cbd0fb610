"""Ask one process whether it serves, and say so by the exit code: what a container's health check runs.

`python -m chassis.probe 127.0.0.1:7102` asks the gRPC health service; `python -m chassis.probe
http://127.0.0.1:8000/readyz` wants a successful answer.
"""

import argparse
import http.client
import sys
from contextlib import closing
from functools import partial
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 2.0
# The proxy of the environment is the way to vendors.
OPTIONS = (("grpc.enable_http_proxy", 0),)


def _succeeds(url: str) -> bool:
    parts = urlsplit(url)
    try:
        with closing(http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_SECONDS)) as connection:
            connection.request("GET", parts.path)
            return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False


def _serves_rpc(address: str, service: str) -> bool:
    # Asked over HTTP every few seconds in each container, it must not pay for these.
    import grpc  # noqa: PLC0415
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415

    from chassis.process import load_settings  # noqa: PLC0415
    from chassis.rpc_credentials import client_credentials  # noqa: PLC0415
    from chassis.settings import ProcessSettings  # noqa: PLC0415

    credentials = client_credentials(load_settings(ProcessSettings))
    make = grpc.insecure_channel if credentials is None else partial(grpc.secure_channel, credentials=credentials)
    with make(address, options=OPTIONS) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def main(arguments: list[str] | None = None) -> int:
    """Return 0 when the process serves, else 1."""
    parser = argparse.ArgumentParser(prog="python -m chassis.probe", description="Ask a process whether it serves.")
    parser.add_argument("target", help="host:port of a gRPC server, or http://host:port/path")
    parser.add_argument("--service", default="", help="a name of the gRPC health service; the whole process without it")
    asked = parser.parse_args(arguments)
    is_http = asked.target.startswith("http://")
    return 0 if (_succeeds(asked.target) if is_http else _serves_rpc(asked.target, asked.service)) else 1


if __name__ == "__main__":
    sys.exit(main())
