import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from brokers.domain.secrets import Secret
from brokers.providers.children import nursery as nursery_module
from brokers.providers.children.folders import ChildFolders
from brokers.providers.children.jobs import JOBS
from brokers.providers.children.nursery import QUESTIONS, Nursery
from brokers.providers.children.refusals import ChildRefused, Problem, Refusal
from chassis.metrics import value_of
from upstreams.breeze_accounts import BreezeAccount
from upstreams.faults import Fault
from upstreams.servers import breeze_server

# Stands in for Kite's SDK inside of children: its api_key says what it does there.
SDK = """
import os, resource, signal, socket, sys, tempfile, threading, time, logging
class exceptions:
    class KiteException(Exception):
        code = 500
sys.modules["kiteconnect.exceptions"] = exceptions
class KiteConnect:
    def __init__(self, api_key, **options):
        self.api_key = api_key
        self.calls = os.environ.get("PYTHONPATH")
    def generate_session(self, request_token, api_secret):
        return {}
    def invalidate_access_token(self):
        pass
    def positions(self):
        return {}
    def holdings(self):
        return getattr(self, self.api_key)()
    def crash(self):
        os.kill(os.getpid(), signal.SIGSEGV)
    def sleep(self):
        time.sleep(600)
    def stubborn(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        while True:
            pass
    def huge(self):
        return "x" * (17 * 1024 * 1024)
    def big(self):
        return ["x" * 1000] * 1000
    def memory(self):
        return len(bytearray(3 * 1024 ** 3))
    def nonsense(self):
        return object()
    def infinite(self):
        return float("inf")
    def file(self):
        with open("left", "w") as file:
            file.write("secret")
    def shout(self):
        print("secret")
        print("secret", file=sys.stderr)
        logging.getLogger("sdk").critical("secret")
        os.write(2, b"secret")
        return True
    def show(self):
        import ctypes
        return {
            "core": resource.getrlimit(resource.RLIMIT_CORE),
            "dumpable": ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) if sys.platform == "linux" else 0,
            "pid": os.getpid(),
            "session": os.getsid(0),
            "folder": os.getcwd(),
            "mode": os.stat(".").st_mode & 0o777,
            "temporary": tempfile.gettempdir(),
            "content": os.listdir("."),
            "environment": dict(os.environ),
            "arguments": sys.argv,
            "files": [os.readlink("/proc/self/fd/" + name) for name in os.listdir("/proc/self/fd")
                      if os.path.exists("/proc/self/fd/" + name)] if os.access("/proc/self/fd", os.R_OK) else None,
            "handlers": len(logging.root.handlers),
            "config": "config" in sys.modules,
            "timeout": socket.getdefaulttimeout(),
        }
"""
SECRETS = {"request_token": Secret("demo"), "api_secret": Secret("demo")}


@pytest.fixture
def sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "sdk"
    folder.mkdir()
    (folder / "kiteconnect.py").write_text(SDK)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


@asynccontextmanager
async def ready(run_dir: Path, at_most: int = 4) -> AsyncIterator[Nursery]:
    async with Nursery.open(run_dir, at_most=at_most) as nursery:
        async with asyncio.timeout(20):
            while not await nursery.is_ready():
                await asyncio.sleep(0.01)
        yield nursery


async def do(nursery: Nursery, what: str, seconds: float = 10.0) -> Any:
    secrets = {**SECRETS, "api_key": Secret(what)}
    parameters = {"root_url": "http://127.0.0.1:1", "timeout_seconds": 3}
    answer = await nursery.run("kite_portfolio", secrets=secrets, parameters=parameters, deadline_seconds=seconds)
    return answer["holdings"]


async def refused(nursery: Nursery, what: str, seconds: float = 10.0) -> Refusal:
    with pytest.raises(ChildRefused) as caught:
        await do(nursery, what, seconds)
    return caught.value.kind


def left_in(run_dir: Path) -> list[Path]:
    return list((run_dir / "children").glob("*/*"))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_a_child_is_closed_off_before_it_gets_a_secret(
    sdk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZERODHA_ADMIN_SECRET", "canary")
    monkeypatch.setenv("PORTFOLIO_DATABASE_URL", "canary")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3128")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/ca.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with ready(tmp_path) as nursery:
            shown = await do(nursery, "show")
            assert shown["pid"] != nursery.forkserver_pid
            listening = f"socket:[{os.fstat(listener.fileno()).st_ino}]"
    assert shown["core"] == [0, 0]
    assert shown["dumpable"] == 0
    assert shown["session"] == shown["pid"]
    assert (shown["mode"], shown["content"], shown["temporary"]) == (0o700, [], shown["folder"])
    assert shown["folder"].startswith(str(tmp_path / "children"))
    assert "canary" not in str(shown["environment"])
    assert shown["environment"]["HTTPS_PROXY"] == "http://127.0.0.1:3128"
    assert shown["environment"]["REQUESTS_CA_BUNDLE"] == "/ca.pem"
    assert "demo" not in str(shown["environment"]) + str(shown["arguments"])
    # Only root may look at what a process that is closed off has open, be it itself.
    if shown["files"] is not None:
        assert listening not in shown["files"]
        assert shown["files"].count("/dev/null") >= 3
        assert len([file for file in shown["files"] if file.startswith("socket:")]) <= 2
    assert (shown["handlers"], shown["config"], shown["timeout"]) == (0, False, 3)


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        ("crash", Refusal.UNAVAILABLE),
        ("huge", Refusal.INVALID_ANSWER),
        ("memory", Refusal.INVALID_ANSWER),
        ("nonsense", Refusal.INVALID_ANSWER),
        ("infinite", Refusal.INVALID_ANSWER),
        ("unknown", Refusal.INVALID_ANSWER),
    ],
)
async def test_whatever_a_child_does_is_a_refusal_and_leaves_nothing(
    sdk: Path, tmp_path: Path, what: str, kind: Refusal
) -> None:
    async with ready(tmp_path) as nursery:
        assert await refused(nursery, what) is kind
        assert left_in(tmp_path) == []


async def test_a_child_can_write_no_file_and_nobody_hears_it(
    sdk: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with ready(tmp_path) as nursery:
        assert await refused(nursery, "file") is Refusal.UNAVAILABLE
        assert await do(nursery, "shout") is True
    out, err = capfd.readouterr()
    assert "secret" not in out + err


async def test_a_big_answer_is_read_whole(sdk: Path, tmp_path: Path) -> None:
    async with ready(tmp_path) as nursery:
        assert len(await do(nursery, "big")) == 1000


async def test_an_answer_nested_too_deep_to_be_read_is_refused(
    sdk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_deep(_: bytes) -> Any:
        return json.JSONDecoder().decode("[" * 100_000)

    async with ready(tmp_path) as nursery:
        monkeypatch.setattr(json, "loads", too_deep)
        assert await refused(nursery, "shout") is Refusal.INVALID_ANSWER


@pytest.mark.parametrize("what", ["sleep", "stubborn"])
async def test_a_child_is_killed_at_its_deadline(sdk: Path, tmp_path: Path, what: str) -> None:
    async with ready(tmp_path) as nursery:
        started = time.monotonic()
        assert await refused(nursery, what, seconds=0.4) is Refusal.TIMEOUT
        assert time.monotonic() - started < 2
        assert children_of(nursery) == []
        assert left_in(tmp_path) == []


async def test_a_cancelled_job_takes_its_child_along(sdk: Path, tmp_path: Path) -> None:
    async with ready(tmp_path) as nursery:
        job = asyncio.create_task(do(nursery, "sleep"))
        async with asyncio.timeout(5):
            while not children_of(nursery):
                await asyncio.sleep(0.01)
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)
        assert children_of(nursery) == []
        assert left_in(tmp_path) == []


def told_of_portfolios(outcome: str) -> float:
    labels = {"broker": "zerodha", "call": "portfolio", "outcome": outcome}
    return value_of("bourse_brokers_calls_total", labels) or 0.0


def told_of(what: str, labels: dict[str, str] | None = None) -> float:
    return value_of(f"bourse_brokers_{what}", labels) or 0.0


async def test_jobs_and_children_are_counted(sdk: Path, tmp_path: Path) -> None:
    outcomes = ("ok", "invalid_answer", "timeout")
    asked = {"broker": "zerodha", "call": "portfolio"}
    before = [*map(told_of_portfolios, outcomes), told_of("children_started_total"), told_of("children_killed_total")]
    took = told_of("call_seconds_count", asked)
    async with ready(tmp_path, at_most=1) as nursery:
        await do(nursery, "big")
        await refused(nursery, "nonsense")
        sleeping = asyncio.create_task(refused(nursery, "sleep", seconds=1.0))
        waiting = asyncio.create_task(refused(nursery, "big", seconds=0.3))
        async with asyncio.timeout(5):
            while (nursery.children, nursery.waiting) != (1, 1):
                await asyncio.sleep(0.01)
        await asyncio.gather(sleeping, waiting)
        assert (nursery.children, nursery.waiting) == (0, 0)
    after = [*map(told_of_portfolios, outcomes), told_of("children_started_total"), told_of("children_killed_total")]
    # The one that waited for a place never had a child.
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 2, 3, 1]
    assert told_of("call_seconds_count", asked) == took + 4


async def test_a_forkserver_that_ends_is_counted(sdk: Path, tmp_path: Path) -> None:
    before = told_of("forkservers_lost_total")
    async with ready(tmp_path) as nursery:
        assert nursery.forkserver_pid is not None
        os.kill(nursery.forkserver_pid, signal.SIGKILL)
        async with asyncio.timeout(20):
            while told_of("forkservers_lost_total") == before:
                await asyncio.sleep(0.01)
    assert told_of("forkservers_lost_total") == before + 1


def test_each_job_is_told_by_its_broker_and_what_is_asked() -> None:
    names = {f"{vendor}_{question}" for vendor, questions in QUESTIONS.items() for question in questions}
    assert names == set(JOBS)


async def test_waiting_for_a_place_counts_against_the_deadline(sdk: Path, tmp_path: Path) -> None:
    async with ready(tmp_path, at_most=1) as nursery:
        first = asyncio.create_task(refused(nursery, "sleep", seconds=1.0))
        await asyncio.sleep(0)
        assert await refused(nursery, "big", seconds=0.3) is Refusal.TIMEOUT
        assert await first is Refusal.TIMEOUT
        assert len(await do(nursery, "big")) == 1000


async def test_a_frozen_forkserver_holds_nobody_up_and_its_children_end_by_themselves(
    sdk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nursery_module, "END_SECONDS", 0.2)
    async with ready(tmp_path) as nursery:
        job = asyncio.create_task(refused(nursery, "sleep", seconds=0.8))
        async with asyncio.timeout(5):
            while not children_of(nursery):
                await asyncio.sleep(0.01)
        (child,) = children_of(nursery)
        assert nursery.forkserver_pid is not None
        os.kill(nursery.forkserver_pid, signal.SIGSTOP)
        assert await job is Refusal.TIMEOUT
        async with asyncio.timeout(5):
            while state_of(child) not in {"Z", "X", ""}:
                await asyncio.sleep(0.02)


async def test_a_fork_that_fails_ends_no_other_job(sdk: Path, tmp_path: Path) -> None:
    # The SDK's module takes the forkserver's forks away once it is told to.
    with (sdk / "kiteconnect.py").open("a") as file:
        file.write(
            f"\nreal_fork = os.fork\ndef fork():\n    if os.path.exists({str(tmp_path / 'full')!r}):\n"
            "        raise BlockingIOError(11, 'no more processes')\n    return real_fork()\nos.fork = fork\n"
        )
    async with ready(tmp_path) as nursery:
        forkserver = nursery.forkserver_pid
        job = asyncio.create_task(refused(nursery, "sleep", seconds=2))
        async with asyncio.timeout(5):
            while not children_of(nursery):
                await asyncio.sleep(0.01)
        (tmp_path / "full").touch()
        assert await refused(nursery, "big") is Refusal.UNAVAILABLE
        (tmp_path / "full").unlink()
        assert len(await do(nursery, "big")) == 1000
        assert await job is Refusal.TIMEOUT
        assert nursery.forkserver_pid == forkserver
        assert left_in(tmp_path) == []


async def test_a_supervisor_that_ends_all_processes_lets_the_service_finish(sdk: Path, tmp_path: Path) -> None:
    async with ready(tmp_path) as nursery:
        job = asyncio.create_task(refused(nursery, "sleep", seconds=2))
        async with asyncio.timeout(5):
            while not children_of(nursery):
                await asyncio.sleep(0.01)
        assert nursery.forkserver_pid is not None
        for pid in (nursery.forkserver_pid, *children_of(nursery)):
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGINT)
        assert await job is Refusal.TIMEOUT
        assert len(await do(nursery, "big")) == 1000


async def test_the_service_goes_on_without_the_sdks_and_says_so(
    sdk: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (sdk / "kiteconnect.py").write_text("import nothing_of_that_name")
    async with Nursery.open(tmp_path, at_most=1) as nursery:
        started = time.monotonic()
        assert await refused(nursery, "big") is Refusal.UNAVAILABLE
        assert time.monotonic() - started < 8
        assert not await nursery.is_ready()
    problems = [getattr(record, "problem", "") for record in caplog.records]
    assert any("nothing_of_that_name" in problem for problem in problems)


async def test_an_sdk_that_starts_a_thread_is_refused(
    sdk: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (sdk / "kiteconnect.py").open("a") as file:
        file.write("\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n")
    async with Nursery.open(tmp_path, at_most=1) as nursery:
        assert await refused(nursery, "big") is Refusal.UNAVAILABLE
    assert any("2 threads" in getattr(record, "problem", "") for record in caplog.records)


async def test_an_sdk_that_hangs_or_ends_the_process_holds_nobody_up(
    sdk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nursery_module, "START_SECONDS", 0.5)
    (sdk / "kiteconnect.py").write_text("import time; time.sleep(600)")
    async with Nursery.open(tmp_path, at_most=1) as nursery:
        assert await refused(nursery, "big", seconds=5) is Refusal.UNAVAILABLE
    monkeypatch.setattr(nursery_module, "START_SECONDS", 10.0)
    (sdk / "kiteconnect.py").write_text("import os; os._exit(3)")
    async with Nursery.open(tmp_path, at_most=1) as nursery:
        assert await refused(nursery, "big", seconds=5) is Refusal.UNAVAILABLE


async def test_nothing_is_left_of_a_nursery_that_closes(sdk: Path, tmp_path: Path) -> None:
    async with ready(tmp_path) as nursery:
        forkserver = nursery.forkserver_pid
        job = asyncio.create_task(refused(nursery, "sleep"))
        async with asyncio.timeout(5):
            while not children_of(nursery):
                await asyncio.sleep(0.01)
        (child,) = children_of(nursery)
    assert await job is Refusal.UNAVAILABLE
    async with asyncio.timeout(5):
        while state_of(child) not in {"Z", "X", ""}:
            await asyncio.sleep(0.01)
    assert forkserver is not None
    assert state_of(forkserver) == ""
    assert list((tmp_path / "children").iterdir()) == []


def test_a_dead_services_folders_go_and_a_living_ones_stay(tmp_path: Path) -> None:
    dead = tmp_path / "0123"
    (dead / "child").mkdir(parents=True)
    (dead / "child" / "left").write_text("by a crash")
    living = ChildFolders(tmp_path)
    try:
        assert not dead.exists()
        kept = living.make()
        assert kept.stat().st_mode & 0o777 == 0o700
        ChildFolders(tmp_path).close()
        assert kept.exists()
    finally:
        living.close()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def breeze() -> Iterator[Any]:
    with breeze_server(BreezeAccount()) as running:
        yield running


async def test_breeze_which_has_no_timeouts_gets_one(tmp_path: Path, breeze: Any) -> None:
    breeze.faults.always("*", Fault.hang())
    secrets = {name: Secret("demo") for name in ("api_key", "api_secret", "api_session")}
    parameters = {"root_url": breeze.url, "timeout_seconds": 0.3}
    async with ready(tmp_path) as nursery:
        with pytest.raises(ChildRefused) as caught:
            await nursery.run("breeze_portfolio", secrets=secrets, parameters=parameters, deadline_seconds=8)
    assert caught.value.kind is Refusal.TIMEOUT


async def test_what_an_sdk_found_wrong_with_credentials_crosses_as_a_word(tmp_path: Path, breeze: Any) -> None:
    secrets = {name: Secret("demo") for name in ("api_key", "api_secret", "api_session")}
    parameters = {"root_url": breeze.url, "timeout_seconds": 3}
    async with ready(tmp_path) as nursery:
        with pytest.raises(ChildRefused) as caught:
            await nursery.run("breeze_portfolio", secrets=secrets, parameters=parameters, deadline_seconds=8)
    assert (caught.value.kind, caught.value.problem) == (Refusal.TOKEN_INVALID, Problem.API_KEY)
    assert "demo" not in repr(caught.value)


def children_of(nursery: Nursery) -> list[int]:
    pid = nursery.forkserver_pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
