"""The market's answers, first when nothing of them is kept and then when they are, each beside the least it could be.

On `sample`, and on `fmp` with the vendor played on loopback. What is not kept is asked one question at a time: beside
a bare ASGI app with the same bytes on `sample`, beside the same calls by bare httpx on `fmp`. What is kept is asked as
fast as it comes, beside the bare app. Where OPENBB_PYTHON names a python that has OpenBB (openbb-core, openbb-fmp and
openbb-equity, in an environment of its own), its API is asked the same, of the same vendor, in the same run.
"""

import csv
import json
import os
import statistics
import subprocess
import tempfile
import time
from asyncio import gather
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import httpx
import uvloop
from load import Result, Target, closed_loop, fixed_rate
from processes import LOAD_CORE, MEASURED_CORE, pin, pinned, surroundings
from reads import HERE, UNREACHED_LIMITS, bare_app, fetch, running_suite, side_by_side
from vendor import Call, Vendor, running_vendor, vendors_symbol

from chassis.testing import free_port, stop_process
from market.providers.reference.tables import read_constituents
from upstreams.fmp import ROOT

QUOTES, BATCH, BATCHES, HISTORIES = 100, 50, 8, 30
# The prices of a whole index are new once after a start.
STARTS = 3
ROUNDS, ROUND_SECONDS = 3, 0.6
STEADY_RATE, STEADY_SECONDS = 200, 1.5
ANSWER_SECONDS, OPENBB_START_SECONDS = 30.0, 60.0
# It keeps nothing, so that more connections do not make it faster, and a round lasts until each has its answer.
OPENBB_CONNECTIONS, OPENBB_SECONDS = 4, 1.5
OPENBB_NEEDS = ("openbb_core", "openbb_fmp", "openbb_equity", "uvicorn")
FIVE_YEARS = timedelta(days=5 * 365 + 1)
# In no index that is asked for.
NOBODY = "ASML"
QUOTE, BATCH_OF_50, HISTORY, INDEX = "quote", "batch of 50", "history of 5 years", "index of 503"


@dataclass(frozen=True, slots=True)
class Question:
    """The path that we are asked for, and the one by which OpenBB is asked the same."""

    ours: str
    openbb: str


@dataclass(slots=True)
class Answers:
    """What came of the questions of a kind, each asked once: milliseconds, calls of the vendor, rows of the newest."""

    milliseconds: list[float] = field(default_factory=list)
    calls: int = 0
    rows: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.milliseconds)

    def __str__(self) -> str:
        p99 = sorted(self.milliseconds)[int(len(self.milliseconds) * 0.99)]
        calls = self.calls / len(self.milliseconds)
        return f"p50 {self.median:7.1f} ms  p99 {p99:7.1f} ms  {calls:g} calls, {self.rows} rows"


@dataclass(slots=True)
class Beside:
    """The answers of all who were asked a kind of question."""

    ours: Answers = field(default_factory=Answers)
    bare: Answers = field(default_factory=Answers)
    openbb: Answers = field(default_factory=Answers)


Measured = defaultdict[str, Beside]


@dataclass(frozen=True, slots=True)
class Scene:
    """One start of the suite, and who is asked beside it.

    Attributes:
        port: the gateway's.
        folder: where files may be left.
        vendor: whom market calls; None on the sample market.
        openbb: the port of OpenBB's API; None where there is none.
    """

    port: int
    folder: Path
    vendor: Vendor | None
    openbb: int | None

    def calls(self) -> list[Call]:
        """Return the calls of the vendor since this was last asked."""
        return self.vendor.calls() if self.vendor else []


def members() -> list[str]:
    """Return the symbols of the S&P 500."""
    return [each.instrument.partition(":")[2] for each in read_constituents({}) if each.index == "SP500"]


def questions(symbols: Sequence[str]) -> dict[str, list[Question]]:
    """Return what is asked by kind; none asks for the price or the days of a symbol that another asked for."""
    first = (datetime.now(UTC).date() - FIVE_YEARS).isoformat()
    begins = range(QUOTES, QUOTES + BATCHES * BATCH, BATCH)
    batches = [",".join(symbols[begin : begin + BATCH]) for begin in begins]
    return {
        QUOTE: [Question(f"/api/stock/price/{each}", of_openbb("quote", each)) for each in symbols[:QUOTES]],
        BATCH_OF_50: [Question(f"/api/stock/price/bulk?symbols={each}", of_openbb("quote", each)) for each in batches],
        HISTORY: [
            Question(f"/api/stock/historical/{each}", of_openbb("historical", each) + f"&start_date={first}")
            for each in symbols[:HISTORIES]
        ],
        INDEX: [Question("/api/index/stock-prices/SP500", of_openbb("quote", ",".join(symbols)))],
    }


def of_openbb(what: str, symbols: str) -> str:
    # It hands on to the vendor what it is given.
    return f"/api/v1/equity/price/{what}?provider=fmp&symbol={vendors_symbol(symbols)}"


# --- nothing is kept


async def ask_new(scene: Scene, asked: dict[str, list[Question]], measured: Measured) -> None:
    """Ask each question of all in turn, one request at a time; the same client asks all."""
    async with AsyncExitStack() as stack:
        ours = await connected(stack, scene.port, "/api/stock/price/" + NOBODY)
        openbb = None if scene.openbb is None else await connected(stack, scene.openbb, of_openbb("quote", NOBODY))
        for kind, each in asked.items():
            beside, bare = measured[kind], await bare_vendor(stack, scene)
            for question in each:
                scene.calls()
                body = await timed(ours, [question.ours], beside.ours)
                calls = scene.calls()
                beside.ours.calls += len(calls)
                if bare is None:
                    bare = await connected(stack, stack.enter_context(bare_app(scene.folder, body)), "/")
                await timed(bare, [path_of(call) for call in calls] or ["/"], beside.bare)
                if openbb is not None:
                    scene.calls()
                    await timed(openbb, [question.openbb], beside.openbb)
                    beside.openbb.calls += len(scene.calls())


async def connected(stack: AsyncExitStack, port: int, path: str, **headers: str) -> httpx.AsyncClient:
    """Open a client and ask for something that nobody times, so that connections are there and all is imported."""
    client = httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=ANSWER_SECONDS, trust_env=False
    )
    await stack.enter_async_context(client)
    (await client.get(path)).raise_for_status()
    return client


async def bare_vendor(stack: AsyncExitStack, scene: Scene) -> httpx.AsyncClient | None:
    if scene.vendor is None:
        return None
    return await connected(stack, scene.vendor.port, path_of(("quote", {"symbol": NOBODY})), apikey=scene.vendor.key)


def path_of(call: Call) -> str:
    path, parameters = call
    return f"{ROOT}/{path}?{urlencode(parameters)}"


async def timed(client: httpx.AsyncClient, paths: Sequence[str], answers: Answers) -> bytes:
    """Ask for some paths at once; return the body of the first.

    Raises:
        SystemExit: one of them is not answered with 200.
    """
    began = time.perf_counter()
    replies = await gather(*(client.get(path) for path in paths))
    answers.milliseconds.append((time.perf_counter() - began) * 1e3)
    for reply in replies:
        if reply.status_code != httpx.codes.OK:
            raise SystemExit(f"{reply.url} was answered with {reply.status_code}: {reply.text[:300]}")
    answers.rows = rows_of(replies[0].content)
    return replies[0].content


def rows_of(body: bytes) -> int:
    """Count the rows of an answer; of a table those with a price."""
    if not body.startswith((b"[", b"{")):
        return sum(bool(row["price"]) for row in csv.DictReader(body.decode().splitlines()))
    document = json.loads(body)
    return len(document["results"] if isinstance(document, dict) else document)


def report_new(source: str, measured: Measured) -> None:
    least = "bare ASGI" if source == "sample" else "bare httpx"
    for kind, beside in measured.items():
        ratio = beside.ours.median / beside.bare.median
        print(f"{source:<7}{kind:<20}new     {beside.ours}  {least} p50 {beside.bare.median:6.2f} ms  ({ratio:.1f} x)")
        if beside.openbb.milliseconds:
            ratio = beside.openbb.median / beside.ours.median
            print(f"{'':<27}OpenBB  {beside.openbb}  ({ratio:.1f} x ours)")


# --- everything is kept


def measure_kept(source: str, scene: Scene, asked: dict[str, list[Question]]) -> None:
    """Ask the first question of each kind again and again."""
    for kind, each in asked.items():
        question = each[0]
        ours = Target(scene.port, question.ours)
        with bare_app(scene.folder, fetch(f"http://127.0.0.1:{scene.port}{question.ours}")) as bare_port:
            scene.calls()
            measured = side_by_side(ours, Target(bare_port, "/"), rounds=ROUNDS, seconds=ROUND_SECONDS)
        steady = uvloop.run(fixed_rate(ours, STEADY_RATE, STEADY_SECONDS))
        report_kept(f"{source:<7}{kind:<20}kept  ", measured, steady, len(scene.calls()))
        if scene.openbb is not None and kind != INDEX:
            target = Target(scene.openbb, question.openbb)
            theirs = uvloop.run(closed_loop(target, OPENBB_SECONDS, OPENBB_CONNECTIONS))
            times = measured[0].rate / theirs.rate
            calls = len(scene.calls()) / theirs.requests
            print(f"{'':<27}OpenBB  {theirs.rate:>8,.0f}/s  {calls:g} calls each  (ours {times:,.0f} x as many)")


def report_kept(name: str, measured: tuple[Result, Result, float], steady: Result, calls: int) -> None:
    ours, bare, ratio = measured
    p50, p99 = (steady.percentile(share) * 1e3 for share in (0.5, 0.99))
    not_ok = ours.not_ok + steady.not_ok
    print(
        f"{name}  {ours.rate:>8,.0f}/s  bare ASGI {bare.rate:>8,.0f}/s  ratio {ratio:.2f}"
        f"  at {STEADY_RATE}/s p50 {p50:.2f} ms  p99 {p99:.2f} ms  {calls} calls  not 200: {not_ok}"
    )


# --- who is asked


@contextmanager
def suite_of(vendor: Vendor | None, openbb: int | None) -> Iterator[Scene]:
    """Run the suite, all of it on one core, and say at its end what it cost."""
    settings = vendor.settings if vendor else {}
    with tempfile.TemporaryDirectory(prefix="bourse-bench-") as name:
        began = time.perf_counter()
        with running_suite(Path(name), **UNREACHED_LIMITS, **settings) as run:
            seconds = time.perf_counter() - began
            pids = {process["name"]: process["pid"] for process in run["processes"]}
            for pid in pids.values():
                pin(pid, MEASURED_CORE)
            port = int(run["gateway_url"].rsplit(":", 1)[1])
            with pinned(LOAD_CORE):
                yield Scene(port, Path(name), vendor, openbb)
            resident = resident_megabytes(pids["market"])
            source = "fmp" if vendor else "sample"
            print(f"{source:<7}ready in {seconds:.1f} s; now market has {resident:.0f} MB", flush=True)


def resident_megabytes(pid: int) -> float:
    """Return how much memory a process has in the machine."""
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True, timeout=5)
    return int(shown.stdout) / 1024


@contextmanager
def openbb_api(vendor: Vendor, folder: Path) -> Iterator[int | None]:
    """Run OpenBB's API where there is one, and yield its port; None, and why, where there is none."""
    python = os.environ.get("OPENBB_PYTHON", "")
    if not has_openbb(python):
        print(f"OpenBB: SKIPPED, OPENBB_PYTHON names no python that has {', '.join(OPENBB_NEEDS)}")
        yield None
        return
    (folder / ".openbb_platform").mkdir()
    settings = {"credentials": {"fmp_api_key": vendor.key}}
    (folder / ".openbb_platform" / "user_settings.json").write_text(json.dumps(settings))
    port = free_port()
    command = [python, "-I", str(HERE / "openbb_api.py"), str(port), vendor.url]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with (folder / "openbb.log").open("wb") as log:
        process = subprocess.Popen(command, env=env, cwd=folder, stdout=log, stderr=log)
    try:
        is_up = answers_within(OPENBB_START_SECONDS, f"http://127.0.0.1:{port}" + of_openbb("quote", "AAPL"))
        if is_up:
            pin(process.pid, MEASURED_CORE)
        else:
            print(f"OpenBB: SKIPPED, it does not answer: {(folder / 'openbb.log').read_text()[-500:]}")
        yield port if is_up else None
    finally:
        stop_process(process)


def has_openbb(python: str) -> bool:
    if not python:
        return False
    look = f"import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, {OPENBB_NEEDS!r})))"
    with suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run([python, "-I", "-c", look], check=False, timeout=20).returncode == 0
    return False


def answers_within(seconds: float, url: str) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError):
            fetch(url)
            return True
        time.sleep(0.2)
    return False


def measure(source: str, vendor: Vendor | None, openbb: int | None) -> None:
    """Start the suite some times: the whole index is asked for after each start but the first, all else after that."""
    asked = questions(members())
    measured: Measured = defaultdict(Beside)
    with suite_of(vendor, openbb) as scene:
        uvloop.run(ask_new(scene, {kind: each for kind, each in asked.items() if kind != INDEX}, measured))
        measure_kept(source, scene, asked)
    for _ in range(STARTS - 1):
        with suite_of(vendor, openbb) as scene:
            uvloop.run(ask_new(scene, {INDEX: asked[INDEX]}, measured))
    report_new(source, measured)


def main() -> None:
    print(surroundings())
    measure("sample", None, None)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bourse-bench-")))
        vendor = stack.enter_context(running_vendor([vendors_symbol(each) for each in members()[:HISTORIES]]))
        measure("fmp", vendor, stack.enter_context(openbb_api(vendor, folder)))


if __name__ == "__main__":
    main()
