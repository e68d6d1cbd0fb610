"""Twenty minutes at a steady rate: no process's memory, descriptors, threads or tasks grow."""

import asyncio
import os
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from harness.backends import SERVERS, UNLIMITED, running_suite
from harness.clients import Account, gateway_client, open_stream, register
from harness.degradation import Operator, Stand, questions_of
from harness.prober import STOCKS, Prober, Question, summary_of
from harness.processes import RunningSuite
from harness.slopes import Slope, slope_of

# A process that nobody asks grows in its first minutes, too, and then ever less: allocators settle. And what is kept
# for busy moments, such as the statements that each connection of a pool has prepared, is there only after such
# moments: at first twice as much is asked as is measured.
WARM_UP_SECONDS = float(os.environ.get("SOAK_WARM_UP_SECONDS", "900"))
SETTLING_SECONDS = WARM_UP_SECONDS / 10
MEASURED_SECONDS = float(os.environ.get("SOAK_SECONDS", "1200"))
LOOK_SECONDS, LOOKS_IN_VAIN = 5.0, 5
PROBERS, MORE_PROBERS = 3, 3
STREAMS, STREAM_SECONDS = 5, 4.0
SYMBOLS = "NSE:TCS,NSE:INFY"
MEBIBYTE = 1024 * 1024
RSS, DESCRIPTORS, THREADS, TASKS = "RSS, MiB", "descriptors", "threads", "tasks"
# What an hour may add and still be no leak.
MOST = {RSS: 1.0, DESCRIPTORS: 1.0, THREADS: 1.0, TASKS: 1.0}

pytestmark = [pytest.mark.long, pytest.mark.timeout(WARM_UP_SECONDS + MEASURED_SECONDS + 300)]


def looked_at(pid: int) -> dict[str, float]:
    """Return what the system says of a process."""
    process = Path(f"/proc/{pid}")
    pages = int((process / "statm").read_text().split()[1])
    return {
        RSS: pages * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE,
        DESCRIPTORS: float(len(list((process / "fd").iterdir()))),
        THREADS: float(len(list((process / "task").iterdir()))),
    }


async def tasks_of(operator: Operator, name: str) -> float:
    """Return how many tasks a process says it has; on a laden machine it may have to be asked again."""
    for _ in range(LOOKS_IN_VAIN):
        if (tasks := await operator.metric(name, "bourse_tasks")) > 0:
            return tasks
    raise AssertionError(name)


class Watch:
    """What was seen of each process of a stand, look by look."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._times: list[float] = []
        self._seen: defaultdict[tuple[str, str], list[float]] = defaultdict(list)

    async def look_for(self, seconds: float) -> None:
        """Look at every process every so often."""
        operator = Operator(self._stand)
        began_at = time.monotonic()
        try:
            while time.monotonic() < began_at + seconds:
                self._times.append(time.monotonic() - began_at)
                for name, process in self._stand.suite.processes.items():
                    seen = looked_at(process.pid)
                    seen[TASKS] = await tasks_of(operator, name)
                    for what, value in seen.items():
                        self._seen[name, what].append(value)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await operator.close()

    def course(self, key: tuple[str, str]) -> str:
        """Return what was seen, each minute."""
        every = max(1, round(60 / LOOK_SECONDS))
        return " ".join(f"{value:.1f}" for value in self._seen[key][::every])

    def slopes(self) -> dict[tuple[str, str], Slope]:
        return {key: slope_of(self._times, values) for key, values in self._seen.items()}

    def last(self, key: tuple[str, str]) -> float:
        return self._seen[key][-1]


def fires_at_once(account: Account) -> Question:
    """Set an alert that is true already, over and over."""

    def body(number: int) -> dict[str, object]:
        return {"type": "buy", "symbol": f"NSE:{STOCKS[number % len(STOCKS)]}", "price": 90_000_000}

    return Question("fires", lambda _: "/api/alerts/me", body, account=account)


@asynccontextmanager
async def prober_of(account: Account, client: httpx.AsyncClient, suite: RunningSuite) -> AsyncIterator[Prober]:
    """Ask all that is asked in somebody's name, until the block is left."""
    questions, _ = await questions_of(client, account)
    questions.append(fires_at_once(account))
    async with Prober(suite.gateway_url, questions, symbols=SYMBOLS).asking() as prober:
        yield prober


@asynccontextmanager
async def listeners_come_and_go(client: httpx.AsyncClient, accounts: Sequence[Account]) -> AsyncIterator[Counter[str]]:
    """Open streams of prices and people's alerts, read a while, and leave without a word, until the block is left."""
    seen: Counter[str] = Counter()

    async def listen(account: Account) -> None:
        while True:
            try:
                async with (
                    asyncio.timeout(STREAM_SECONDS),
                    open_stream(client, SYMBOLS, headers=account.bearer) as stream,
                ):
                    async for name in stream.names():
                        seen[name] += 1
            except TimeoutError:
                seen["left"] += 1
            except httpx.HTTPError:
                seen["broken"] += 1

    tasks = [asyncio.create_task(listen(accounts[number % len(accounts)])) for number in range(STREAMS)]
    try:
        yield seen
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_nothing_grows_at_a_steady_rate(tmp_path: Path) -> None:
    with running_suite(SERVERS, tmp_path, UNLIMITED) as suite:
        stand = Stand(suite)
        watch = Watch(stand)
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(gateway_client(suite.gateway_url))
            accounts = [await register(client) for _ in range(PROBERS)]
            probers = [await stack.enter_async_context(prober_of(account, client, suite)) for account in accounts]
            streams = await stack.enter_async_context(listeners_come_and_go(client, accounts))
            async with AsyncExitStack() as at_first:
                for _ in range(MORE_PROBERS):
                    await at_first.enter_async_context(prober_of(await register(client), client, suite))
                await asyncio.sleep(WARM_UP_SECONDS - SETTLING_SECONDS)
            await asyncio.sleep(SETTLING_SECONDS)
            began_at = time.monotonic()
            await watch.look_for(MEASURED_SECONDS)
            asked = [outcome for prober in probers for outcome in prober.since(began_at)]
    slopes = watch.slopes()
    print(f"{len(asked) / MEASURED_SECONDS:.0f} requests/s: {summary_of(asked)}; streams {dict(streams)}")  # noqa: T201
    for (name, what), slope in slopes.items():
        print(f"{name}: {what} {watch.last((name, what)):.1f}, per hour {slope}")  # noqa: T201  # shown by -s
        print(f"  each minute: {watch.course((name, what))}")  # noqa: T201
    assert streams["alert"] > 0
    assert sum(not outcome.is_good for outcome in asked) <= len(asked) // 1_000
    growing = {key: str(slope) for key, slope in slopes.items() if slope.is_growth(beyond=MOST[key[1]])}
    assert not growing
