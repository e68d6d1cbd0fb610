"""The whole of `make run`, as a user starts and stops it."""

import asyncio
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bourse.market.v1 import ticks_pb2
from chassis.testing import free_port, python_module, stop_process
from harness.clients import PASSWORD, bus_client, gateway_client, open_stream, register
from harness.processes import ROOT, variables_of_bourse

READY_SECONDS = 60.0
# A start that migrates nothing takes a few seconds; how few is no matter of a test.
SECOND_START_SECONDS = 30.0
STOP_SECONDS = 10.0


class MakeRun:
    """`python -m suite` in the repository's root, which is all that `make run` does once it is set up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_dir = folder / "run"
        # Coverage would be measured into the start's time.
        unwanted = {*variables_of_bourse(), "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"}
        self.environment = {name: value for name, value in os.environ.items() if name not in unwanted}
        self.environment |= {"RUN_DIR": str(self.run_dir), "GATEWAY_PORT": str(free_port())}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self.folder / "make-run.log").read_text(errors="replace")

    def start(self) -> dict[str, Any]:
        with (self.folder / "make-run.log").open("wb") as log:
            command = python_module("suite")
            self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        deadline = time.monotonic() + READY_SECONDS
        while not (self.run_dir / "run.json").exists():
            assert self.process.poll() is None, self.log[-4000:]
            assert time.monotonic() < deadline, self.log[-4000:]
            time.sleep(0.05)
        manifest: dict[str, Any] = json.loads((self.run_dir / "run.json").read_text())
        return manifest

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(2 * STOP_SECONDS)

    def seconds_to_ready(self) -> float:
        found = re.search(r"ready in ([\d.]+) s", self.log)
        assert found
        return float(found.group(1))


@pytest.fixture(scope="module")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeRun]:
    run = MakeRun(tmp_path_factory.mktemp("make-run"))
    yield run
    if run.process is not None:
        stop_process(run.process)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.timeout(180)
async def test_make_run_serves_stops_with_a_stream_open_and_starts_again_quickly(make_run: MakeRun) -> None:
    manifest = await asyncio.to_thread(make_run.start)
    names = [process["name"] for process in manifest["processes"]]
    assert names == ["nats", "auth", "market", "portfolio", "brokers", "alerts", "gateway"]
    for process in manifest["processes"]:
        assert f"{process['name']} is healthy: pid {process['pid']}, {process['address']}" in make_run.log

    async with bus_client(manifest["nats_url"]) as bus:
        subscription = await bus.subscribe("ticks.>")
        message = await subscription.next_msg(timeout=10)
        assert ticks_pb2.TickBatch.FromString(message.data).ticks

    async with gateway_client(manifest["gateway_url"]) as client:
        account = await register(client)
        async with open_stream(client, "NSE:TCS") as stream:
            await stream.wait_for("snapshot")
            started_at = time.monotonic()
            assert await asyncio.to_thread(make_run.stop) == 0, make_run.log[-4000:]
            stop_seconds = time.monotonic() - started_at
            await stream.read_to_the_end()
    assert stop_seconds < STOP_SECONDS
    assert all(is_gone(process["pid"]) for process in manifest["processes"])
    assert "killing" not in make_run.log

    again = await asyncio.to_thread(make_run.start)
    assert make_run.seconds_to_ready() < SECOND_START_SECONDS
    async with gateway_client(again["gateway_url"]) as client:
        answer = await client.post("/api/auth/login", json={"email": account.email, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
    print(f"second start {make_run.seconds_to_ready()} s, stop {stop_seconds:.1f} s")  # noqa: T201  # shown by -s
    assert await asyncio.to_thread(make_run.stop) == 0
