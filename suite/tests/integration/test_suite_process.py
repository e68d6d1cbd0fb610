import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chassis.testing import free_port, python_module

FAKE_GATEWAY = Path(__file__).with_name("fake_gateway.py")
PROCFILE = f"""\
nats: nats-server --config ${{RUN_DIR}}/nats.conf
portfolio: python -m portfolio
brokers: python -m brokers
gateway: {sys.executable} {FAKE_GATEWAY}
"""


class RunningSuite:
    """`python -m suite` on a Procfile of three processes and NATS."""

    def __init__(self, folder: Path, *, output: int | None = None, **changes: str) -> None:
        folder.mkdir(exist_ok=True)
        self.run_dir = folder / "run"
        procfile = folder / "Procfile"
        procfile.write_text(changes.pop("procfile", PROCFILE))
        environment = {name: value for name, value in os.environ.items() if name not in ("NATS_URL", "REDIS_URL")}
        environment |= {"RUN_DIR": str(self.run_dir), "PROCFILE": str(procfile), "GATEWAY_PORT": str(free_port())}
        environment |= changes
        self.log = folder / "suite.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(python_module("suite"), env=environment, stdout=output or log, stderr=log)

    @property
    def output(self) -> str:
        return self.log.read_text()

    def wait_for(self, words: str, seconds: float = 40) -> None:
        deadline = time.monotonic() + seconds
        while words not in self.output:
            assert time.monotonic() < deadline, f"no {words!r} in:\n{self.output}"
            assert self.process.poll() is None or words in self.output, self.output
            time.sleep(0.05)

    def wait_until_ready(self, seconds: float = 40) -> dict[str, Any]:
        path = self.run_dir / "run.json"
        deadline = time.monotonic() + seconds
        while not path.exists():
            assert time.monotonic() < deadline, f"not ready:\n{self.output}"
            assert self.process.poll() is None, self.output
            time.sleep(0.05)
        manifest: dict[str, Any] = json.loads(path.read_text())
        return manifest

    def pid_of(self, name: str) -> int:
        found = re.search(rf"\b{name} is healthy: pid (\d+)", self.output)
        assert found, self.output
        return int(found.group(1))

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return not Path("/proc").is_dir()
    return state != "Z"


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """A shell's background job ignores SIGINT, and what it starts would too, on purpose; here it must be heard."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def start_suite(tmp_path: Path) -> Iterator[Callable[..., RunningSuite]]:
    started: list[RunningSuite] = []

    def start(folder: str = "one", *, output: int | None = None, **changes: str) -> RunningSuite:
        suite = RunningSuite(tmp_path / folder, output=output, **changes)
        started.append(suite)
        return suite

    yield start
    for suite in started:
        if suite.process.poll() is None:
            suite.stop()


def pids_of(manifest: dict[str, Any]) -> list[int]:
    return [process["pid"] for process in manifest["processes"]]


def wait_until_gone(pids: list[int], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while alive := [pid for pid in pids if is_running(pid)]:
        assert time.monotonic() < deadline, f"still running: {alive}"
        time.sleep(0.05)


StartSuite = Callable[..., RunningSuite]


def test_it_says_when_each_process_is_healthy_and_when_all_are(start_suite: StartSuite) -> None:
    suite = start_suite()
    manifest = suite.wait_until_ready()
    assert [process["name"] for process in manifest["processes"]] == ["nats", "portfolio", "brokers", "gateway"]
    assert manifest["pid"] == suite.process.pid
    assert f": {manifest['gateway_url']}" in suite.output
    for process in manifest["processes"]:
        assert f"{process['name']} is healthy: pid {process['pid']}, {process['address']}" in suite.output
        host, _, port = process["address"].rpartition(":")
        socket.create_connection((host, int(port)), timeout=2).close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_every_process_cleanly(start_suite: StartSuite, number: signal.Signals) -> None:
    suite = start_suite()
    manifest = suite.wait_until_ready()
    started = time.monotonic()
    assert suite.stop(number) == 0
    assert time.monotonic() - started < 10
    assert not [pid for pid in pids_of(manifest) if is_running(pid)]
    assert not (suite.run_dir / "run.json").exists()
    assert "killing" not in suite.output
    assert "ended with" not in suite.output


def test_a_stop_during_the_start_ends_what_was_started(start_suite: StartSuite) -> None:
    suite = start_suite()
    suite.wait_for("nats is healthy")
    nats = suite.pid_of("nats")
    assert suite.stop() == 0
    assert not is_running(nats)


def test_a_process_that_dies_is_named_and_ends_the_rest(start_suite: StartSuite) -> None:
    suite = start_suite()
    manifest = suite.wait_until_ready()
    victim = suite.pid_of("brokers")
    os.kill(victim, signal.SIGKILL)
    assert suite.process.wait(15) == 1
    assert f"brokers (pid {victim}) died: killed by SIGKILL; its last lines:" in suite.output
    assert "service started service_name=brokers" in suite.output.split("its last lines:")[1]
    assert not [pid for pid in pids_of(manifest) if is_running(pid)]


def test_a_process_that_cannot_start_is_named_with_its_last_words(start_suite: StartSuite) -> None:
    suite = start_suite(FAKE_GATEWAY="dies")
    assert suite.process.wait(30) == 1
    after = suite.output.split("died: exit code 3; its last lines:")[1]
    assert "the disk is on fire" in after


def test_a_process_that_ignores_the_signal_is_killed_in_time(start_suite: StartSuite) -> None:
    suite = start_suite(FAKE_GATEWAY="stubborn")
    manifest = suite.wait_until_ready()
    started = time.monotonic()
    assert suite.stop() == 0
    assert time.monotonic() - started < 10
    assert "gateway did not end within 4 s: killing it" in suite.output
    assert not [pid for pid in pids_of(manifest) if is_running(pid)]


def test_a_second_signal_kills_what_is_left(start_suite: StartSuite) -> None:
    suite = start_suite(FAKE_GATEWAY="stubborn")
    suite.wait_until_ready()
    suite.process.send_signal(signal.SIGINT)
    suite.wait_for("SIGINT: stopping")
    time.sleep(1.2)
    started = time.monotonic()
    assert suite.stop(signal.SIGINT) == 0
    assert time.monotonic() - started < 2
    assert "SIGINT again: killing what is left" in suite.output


def test_a_signal_that_comes_twice_at_once_is_one_wish(start_suite: StartSuite) -> None:
    suite = start_suite()
    suite.wait_until_ready()
    suite.process.send_signal(signal.SIGTERM)
    suite.wait_for("SIGTERM: stopping")
    assert suite.stop(signal.SIGTERM) == 0
    assert "kill" not in suite.output


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children that their parent was killed")
def test_a_killed_suite_leaves_nothing_behind(start_suite: StartSuite) -> None:
    suite = start_suite()
    manifest = suite.wait_until_ready()
    suite.process.kill()
    suite.process.wait(5)
    wait_until_gone(pids_of(manifest))


def test_a_second_suite_on_the_same_run_dir_is_refused(start_suite: StartSuite) -> None:
    suite = start_suite()
    suite.wait_until_ready()
    second = start_suite()
    assert second.process.wait(20) == 1
    assert f"another suite (pid {suite.process.pid}) runs on {suite.run_dir}" in second.output
    assert suite.process.poll() is None


def test_two_suites_run_side_by_side(start_suite: StartSuite) -> None:
    first = start_suite("one").wait_until_ready()
    second = start_suite("two").wait_until_ready()
    taken = {process["address"] for process in first["processes"]}
    assert not taken & {process["address"] for process in second["processes"]}


def test_a_taken_gateway_port_is_said_before_anything_starts(start_suite: StartSuite) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        suite = start_suite(GATEWAY_PORT=str(port))
        assert suite.process.wait(20) == 1
    assert f"port {port} of 127.0.0.1 is taken or not this machine's: set GATEWAY_PORT" in suite.output
    assert "healthy" not in suite.output


def test_a_wrong_setting_is_named(start_suite: StartSuite) -> None:
    suite = start_suite(GATEWAY_PORT="eighty")
    assert suite.process.wait(20) == 78
    assert "GATEWAY_PORT: " in suite.output


def test_a_command_that_does_not_exist_is_named_and_leaves_nothing_behind(start_suite: StartSuite) -> None:
    started = time.monotonic()
    suite = start_suite(procfile=PROCFILE.replace("python -m brokers", "no-such-program"))
    assert suite.process.wait(20) == 1
    assert time.monotonic() - started < 4
    assert "cannot start brokers: No such file or directory (no-such-program)" in suite.output


def test_a_very_long_line_is_printed_whole(start_suite: StartSuite) -> None:
    suite = start_suite(FAKE_GATEWAY="chatty")
    suite.wait_until_ready()
    suite.wait_for("x" * 200_000)


def test_a_reader_that_goes_away_stops_nothing(start_suite: StartSuite) -> None:
    reading, writing = os.pipe()
    suite = start_suite(output=writing)
    os.close(writing)
    os.close(reading)
    manifest = suite.wait_until_ready()
    assert suite.stop() == 0
    assert not [pid for pid in pids_of(manifest) if is_running(pid)]


def test_a_new_start_finds_what_the_last_one_kept(start_suite: StartSuite) -> None:
    first = start_suite()
    first.wait_until_ready()
    first.stop()
    assert "schema migrated" in first.output
    second = start_suite()
    second.wait_until_ready()
    assert "schema migrated" not in second.output
