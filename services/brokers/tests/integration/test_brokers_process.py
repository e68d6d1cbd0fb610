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


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "RUN_DIR": str(tmp_path), "BROKERS_ADDRESS": f"127.0.0.1:{free_port()}"}


@pytest.fixture
def process(environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    running = subprocess.Popen(python_module("brokers"), env=environment)
    yield running
    stop_process(running)


def test_it_boots_answers_health_and_ends_cleanly_on_sigterm(
    environment: dict[str, str], process: "subprocess.Popen[bytes]"
) -> None:
    with grpc.insecure_channel(environment["BROKERS_ADDRESS"]) as channel:
        request = health_pb2.HealthCheckRequest(service="")
        answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=20, wait_for_ready=True)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert time.monotonic() - started < 5


def test_a_taken_address_is_said_and_ends_the_process(
    environment: dict[str, str], process: "subprocess.Popen[bytes]"
) -> None:
    with grpc.insecure_channel(environment["BROKERS_ADDRESS"]) as channel:
        grpc.channel_ready_future(channel).result(timeout=20)
    second = subprocess.run(
        python_module("brokers"), env=environment, check=False, capture_output=True, text=True, timeout=30
    )
    assert second.returncode == 1
    assert f"cannot listen on {environment['BROKERS_ADDRESS']}" in second.stderr


def test_an_address_outside_loopback_needs_tls_or_the_opt_out(environment: dict[str, str]) -> None:
    exposed = {**environment, "BROKERS_ADDRESS": "0.0.0.0:0"}
    done = subprocess.run(
        python_module("brokers"), env=exposed, check=False, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1
    assert "is not a loopback address" in done.stderr


def test_migrate_says_that_there_is_nothing_to_migrate(environment: dict[str, str]) -> None:
    command = [*python_module("brokers"), "migrate"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=30)
    assert "nothing to migrate" in done.stdout
