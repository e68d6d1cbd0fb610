"""Market as an operating system sees it."""

import os
import signal
import subprocess
import time
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis.process import EXIT_MISCONFIGURED
from chassis.testing import NatsServer, free_port, python_module, stop_process

SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
def environment(tmp_path: Path, nats: NatsServer) -> dict[str, str]:
    address = f"127.0.0.1:{free_port()}"
    return {
        **os.environ,
        "RUN_DIR": str(tmp_path),
        "NATS_URL": nats.url,
        "MARKET_ADDRESS": address,
        "MARKET_DATABASE_URL": "",
        "MARKET_PROVIDERS": "",
    }


def wait_for_status(address: str, service: str) -> int:
    with grpc.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        return int(health_pb2_grpc.HealthStub(channel).Check(request, timeout=30, wait_for_ready=True).status)


def run(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [*python_module("market"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_it_boots_answers_health_and_ends_cleanly_on_sigterm(environment: dict[str, str]) -> None:
    process = subprocess.Popen(python_module("market"), env=environment)
    try:
        assert wait_for_status(environment["MARKET_ADDRESS"], "") == SERVING
        assert wait_for_status(environment["MARKET_ADDRESS"], "warmer:index:snapshot") == SERVING
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert time.monotonic() - started < 5
    finally:
        stop_process(process)


def test_migrate_makes_the_schema_and_ends(environment: dict[str, str], tmp_path: Path) -> None:
    assert run(environment, "migrate").returncode == 0
    assert (tmp_path / "market.sqlite3").exists()


def test_a_vendor_without_its_key_stops_the_start_and_is_named(environment: dict[str, str]) -> None:
    ended = run({**environment, "MARKET_PROVIDERS": "zerodha,fmp", "FMP_API_KEY": ""})
    assert ended.returncode == EXIT_MISCONFIGURED
    assert "MARKET_PROVIDERS names fmp, so FMP_API_KEY must hold its key" in ended.stderr


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read: No such file or directory"),
        (
            "symbol,timestamp,open,high,low,close,volume\nNASDAQ:AAPL,2010-01-04,1,2,3,4,5\n",
            "line 2 is not usable: open 1",
        ),
    ],
)
def test_a_replay_file_that_cannot_be_used_stops_the_start_and_says_why(
    environment: dict[str, str], tmp_path: Path, content: str | None, problem: str
) -> None:
    file = tmp_path / "bars.csv"
    if content is not None:
        file.write_text(content)
    ended = run({**environment, "MARKET_PROVIDERS": "replay", "REPLAY_PATH": str(file)})
    assert ended.returncode == 1
    assert problem in ended.stderr
