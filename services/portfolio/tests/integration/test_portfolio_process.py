import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis.testing import free_port, python_module, stop_process

SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    address = f"127.0.0.1:{free_port()}"
    return {**os.environ, "RUN_DIR": str(tmp_path), "PORTFOLIO_ADDRESS": address, "PORTFOLIO_DATABASE_URL": ""}


@pytest.fixture
def process(environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    running = subprocess.Popen(python_module("portfolio"), env=environment)
    yield running
    stop_process(running)


def wait_for_status(address: str, service: str) -> int:
    with grpc.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        return int(health_pb2_grpc.HealthStub(channel).Check(request, timeout=20, wait_for_ready=True).status)


def test_it_boots_answers_health_and_ends_cleanly_on_sigterm(
    environment: dict[str, str], process: "subprocess.Popen[bytes]"
) -> None:
    address = environment["PORTFOLIO_ADDRESS"]
    assert wait_for_status(address, "") == SERVING
    assert wait_for_status(address, "database") == SERVING
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert time.monotonic() - started < 5


def test_migrate_makes_the_schema_and_ends(environment: dict[str, str], tmp_path: Path) -> None:
    command = [*python_module("portfolio"), "migrate"]
    subprocess.run(command, env=environment, check=True, timeout=30)
    assert (tmp_path / "portfolio.sqlite3").exists()
