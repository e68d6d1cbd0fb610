"""1,000 readers of `/api/stream`, 20 of 2,000 symbols each, at 5,000 ticks a second, against a bare uvicorn SSE app.

The gateway has one core, the ticks' publisher (market's own), the nats-server and the readers share the other. Some of
what the readers got is then sent to as many readers by an app that does nothing but send, in the same rhythm. Readers
keep what comes and read it after the run, so that reading does not slow the run down.
"""

import asyncio
import gc
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import numpy as np
import uvicorn
import uvloop
from processes import LOAD_CORE, MEASURED_CORE, cpu_seconds, part, pin, receive, surroundings
from tape import Tape, TapeSource

from chassis.bus import EVENTS, TICKS, Bus
from chassis.clock import SystemClock
from chassis.settings import ProcessSettings
from chassis.testing import free_port, nats_server, stop_process
from market.domain.freshness import SimulatedFreshness
from market.domain.last_prices import LastPrices
from market.domain.leadership import Alone
from market.feed.arrivals import Arrivals
from market.feed.publisher import TickPublisher
from market.feed.tick_feed import TickFeed

INSTRUMENTS = 2_000
CLIENTS = 1_000
SYMBOLS_EACH = 20
TICKS_PER_SECOND = 5_000
WINDOW_SECONDS = 0.1
COHORTS = 5
SECONDS = 12.0
BARE_SECONDS = 8.0
RECORDED_EVENTS = 20
SETTLING_SECONDS = 1.5
LAST_WORDS_SECONDS = 1.0
LONGEST_SECONDS = 45
READY_SECONDS = 20.0
CONNECTING_AT_ONCE = 50
FILES = 8_192
READY = "ready"

QUOTE = re.compile(rb'"instrument":"NSE:SYMBOL(\d+)".*?"volume":(\d+)')
EVENT_END = b"\n\n"

Times = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Played:
    """What was published, and from when on."""

    ticks: int
    start: float
    handed_over: Sequence[float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run, counted over its measured seconds.

    Attributes:
        events: events that came.
        deliveries: quotes that came.
        cpu_seconds: what the server took.
        load_cpu_seconds: what the readers took.
        latencies_ms: of each delivery, since its tick was made; of the bare app, since its slice of time began.
    """

    seconds: float
    events: int
    deliveries: int
    cpu_seconds: float
    load_cpu_seconds: float
    latencies_ms: Times

    @property
    def cpu_share(self) -> float:
        return self.cpu_seconds / self.seconds

    @property
    def cpu_us(self) -> float:
        """Return the server's microseconds for each event, of about four quotes."""
        return self.cpu_seconds / self.events * 1e6


def tape() -> Tape:
    return Tape(instruments=INSTRUMENTS, ticks_per_second=TICKS_PER_SECOND, ticks=TICKS_PER_SECOND * LONGEST_SECONDS)


def wanted() -> list[list[int]]:
    """Return the places of the instruments that each reader watches."""
    random = np.random.default_rng(2)
    return [random.choice(INSTRUMENTS, SYMBOLS_EACH, replace=False).tolist() for _ in range(CLIENTS)]


# --- readers --------------------------------------------------------------------------------------------------------


class Reader(asyncio.Protocol):
    """One connection: keeps what it reads and when."""

    def __init__(self, request: bytes, opened: Callable[[], None]) -> None:
        self.reads: list[tuple[float, bytes]] = []
        self.transport: asyncio.Transport | None = None
        self._request = request
        self._opened = opened

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self.reads:
            self._opened()
        self.reads.append((time.time(), data))

    def events(self) -> Iterator[tuple[float, bytes]]:
        """Yield what came in whole events: when the last of them came, and their bytes."""
        rest = b""
        for at, data in self.reads:
            whole, end, rest = (rest + data).rpartition(EVENT_END)
            if end:
                yield at, whole + end


@asynccontextmanager
async def reading(port: int, paths: Sequence[str]) -> AsyncIterator[list[Reader]]:
    """Connect a reader for each path and wait until each has its first bytes."""
    opened = asyncio.Semaphore(CONNECTING_AT_ONCE)
    readers: list[Reader] = []
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(READY_SECONDS):
            for path in paths:
                await opened.acquire()
                reader = Reader(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode(), opened.release)
                await loop.create_connection(lambda made=reader: made, "127.0.0.1", port)  # type: ignore[misc]
                readers.append(reader)
            while not all(reader.reads for reader in readers):  # noqa: ASYNC110  # one poll for a thousand of them
                await asyncio.sleep(0.01)
        for reader in readers:
            if not reader.reads[0][1].startswith(b"HTTP/1.1 200"):
                raise SystemExit(reader.reads[0][1].decode(errors="replace")[:500])
        yield readers
    finally:
        for reader in readers:
            if reader.transport is not None:
                reader.transport.abort()


async def measured(pid: int, seconds: float) -> tuple[float, float, float, float]:
    """Let time pass; return when it began and ended, and what the server and this process took."""
    began, server, own = time.time(), cpu_seconds(pid), time.process_time()
    await asyncio.sleep(seconds)
    return began, time.time(), cpu_seconds(pid) - server, time.process_time() - own


# --- the gateway ----------------------------------------------------------------------------------------------------


def publish(pipe: Connection, url: str) -> None:
    uvloop.run(_publish(pipe, url))


async def _publish(pipe: Connection, url: str) -> None:
    settings = ProcessSettings.model_validate({"nats_url": url})
    async with Bus.open(settings, name="bench-market", streams=[EVENTS, TICKS]) as bus:
        clock = SystemClock()
        leadership = Alone(clock)
        publisher = TickPublisher(
            bus,
            clock,
            leadership=leadership,
            arrivals=Arrivals(clock),
            publisher_id="bench",
            source=TapeSource.name,
            freshness=TapeSource.freshness,
        )
        await publisher.wait_until_connected(READY_SECONDS)
        played = tape()
        gc.collect()
        gc.freeze()
        pipe.send(READY)
        await asyncio.to_thread(pipe.recv)
        start = time.time()
        source = TapeSource(played, start, is_over=pipe.poll)
        async with TickFeed(source, publisher, LastPrices(SimulatedFreshness()), leadership).running() as feed:
            await asyncio.wait_for(feed.finished(), 2 * LONGEST_SECONDS)
        await bus.client.flush()
        pipe.send(Played(publisher.published_ticks, start, source.handed_over))


@contextmanager
def running_gateway(folder: Path, nats_url: str) -> Iterator[tuple[int, int]]:
    """Run the gateway without the services behind it, which streams of ticking instruments do not need."""
    port = free_port()
    addresses = {
        f"{name}_ADDRESS": f"127.0.0.1:{free_port()}" for name in ("AUTH", "MARKET", "PORTFOLIO", "BROKERS", "ALERTS")
    }
    environment = {
        **os.environ,
        **addresses,
        "RUN_DIR": str(folder),
        "NATS_URL": nats_url,
        "GATEWAY_PORT": str(port),
        "GATEWAY_LIMIT_READ": "100000000/minute",
        "GATEWAY_STREAM_WINDOW_MS": str(round(WINDOW_SECONDS * 1000)),
        "LOG_LEVEL": "WARNING",
    }
    process = subprocess.Popen([sys.executable, "-m", "gateway"], env=environment)
    try:
        _wait_until_served(f"http://127.0.0.1:{port}/livez")
        pin(process.pid, MEASURED_CORE)
        yield port, process.pid
    finally:
        stop_process(process)


def _wait_until_served(url: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=2):
            return
        time.sleep(0.05)
    raise SystemExit(f"{url} does not answer")


def _wait_until_known(url: str) -> None:
    """Wait until each instrument has ticked on the gateway's board, so that nobody has to be asked for it."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        with urllib.request.urlopen(url, timeout=2) as answer:
            if json.load(answer)["board"]["instruments"] == INSTRUMENTS:
                return
        time.sleep(0.1)
    raise SystemExit("the gateway's board does not hear the ticks")


class Run:
    """The gateway's run, to be read when it is over."""

    def __init__(
        self, readers: Sequence[Reader], played: Played, *, began: float, ended: float, cpu: float, load_cpu: float
    ) -> None:
        self._readers = readers
        self._played = played
        self._began = began
        self._ended = ended
        self._cpu = cpu
        self._load_cpu = load_cpu
        self._places = tape().places[: played.ticks]

    def outcome(self) -> Outcome:
        latencies: list[float] = []
        events = 0
        for reader in self._readers:
            for at, whole in reader.events():
                if not self._lasts(at):
                    continue
                events += whole.count(EVENT_END)
                for _, number in QUOTE.findall(whole):
                    latencies.append(at - self._played.start - int(number) / TICKS_PER_SECOND)
        seconds = self._ended - self._began
        return Outcome(seconds, events, len(latencies), self._cpu, self._load_cpu, np.array(latencies) * 1e3)

    def raw_deliveries(self) -> int:
        """Count what unfolded delivery would have brought: each tick to each who watches its instrument."""
        first, last = self._measured_ticks()
        return int(self._watchers()[self._places[first:last]].sum())

    def expected_deliveries(self) -> int:
        """Count what folding by window leaves: one for each window in which an instrument has ticked."""
        first, last = self._measured_ticks()
        windows = np.arange(first, last) // round(TICKS_PER_SECOND * WINDOW_SECONDS)
        pairs = np.unique(windows * INSTRUMENTS + self._places[first:last])
        return int(self._watchers()[pairs % INSTRUMENTS].sum())

    def last_words_missing(self) -> int:
        """Count the prices that were an instrument's last when all was over and never reached a reader."""
        last_tick = np.zeros(INSTRUMENTS, dtype=np.int64)
        last_tick[self._places] = np.arange(len(self._places))
        missing = 0
        for places, reader in zip(wanted(), self._readers, strict=True):
            seen: dict[int, int] = {}
            for _, whole in reader.events():
                seen |= {int(place): int(number) for place, number in QUOTE.findall(whole)}
            missing += sum(seen.get(place) != last_tick[place] for place in places)
        return missing

    def recorded(self) -> list[list[bytes]]:
        """Return some events of each reader, spread over the measured time."""
        kept = []
        for reader in self._readers:
            events = [event for at, whole in reader.events() if self._lasts(at) for event in _bodies(whole)]
            kept.append(events[:: max(1, len(events) // RECORDED_EVENTS)])
        return kept

    def _lasts(self, at: float) -> bool:
        return self._began <= at < self._ended

    def _measured_ticks(self) -> tuple[int, int]:
        # What came in the measured time was made half a window before, on the average.
        shift = self._played.start + WINDOW_SECONDS / 2
        return round((self._began - shift) * TICKS_PER_SECOND), round((self._ended - shift) * TICKS_PER_SECOND)

    def _watchers(self) -> "np.ndarray[Any, np.dtype[np.intp]]":
        return np.bincount(np.array(wanted()).ravel(), minlength=INSTRUMENTS)


def _bodies(whole: bytes) -> list[bytes]:
    """Return events without the chunks they came in."""
    return [
        chunk[chunk.index(b"event: ") :] + EVENT_END for chunk in whole.split(EVENT_END)[:-1] if b"event: " in chunk
    ]


async def stream(port: int, pid: int, publishing: Connection) -> Run:
    played = tape()
    paths = ["/api/stream?symbols=" + ",".join(played.instruments[place] for place in places) for places in wanted()]
    publishing.send("start")
    await asyncio.to_thread(_wait_until_known, f"http://127.0.0.1:{port}/api/health")
    async with reading(port, paths) as readers:
        await asyncio.sleep(SETTLING_SECONDS)
        began, ended, cpu, load_cpu = await measured(pid, SECONDS)
        publishing.send("stop")
        told: Played = await asyncio.to_thread(receive, publishing, within=READY_SECONDS)
        await asyncio.sleep(LAST_WORDS_SECONDS)
        return Run(readers, told, began=began, ended=ended, cpu=cpu, load_cpu=load_cpu)


def run_gateway() -> Run:
    with (
        tempfile.TemporaryDirectory(prefix="bourse-bench-") as name,
        nats_server(Path(name)) as server,
        part(publish, server.url, core=LOAD_CORE) as publishing,
        running_gateway(Path(name), server.url) as (port, pid),
    ):
        receive(publishing, within=READY_SECONDS)
        return uvloop.run(stream(port, pid, publishing))


# --- the limit ------------------------------------------------------------------------------------------------------

Send = Callable[[dict[str, Any]], Awaitable[None]]


class BareStreams:
    """Sends each reader its recorded events, over and over, a fifth of the readers in each fifth of a window."""

    def __init__(self, recorded: Sequence[Sequence[bytes]], pipe: Connection) -> None:
        self._recorded = recorded
        self._pipe = pipe
        self._joined: dict[int, Send] = {}
        self._sending: asyncio.Task[None] | None = None

    async def __call__(self, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b": joined\n\n", "more_body": True})
        self._joined[int(scope["path"][1:])] = send
        if len(self._joined) == len(self._recorded):
            self._sending = asyncio.create_task(self._send())
        while (await receive())["type"] != "http.disconnect":
            pass

    async def _send(self) -> None:
        gc.collect()
        gc.freeze()
        start = time.time()
        self._pipe.send(start)
        for number in range(round(2 * READY_SECONDS / WINDOW_SECONDS) * COHORTS):
            await asyncio.sleep(max(0.0, start + number * WINDOW_SECONDS / COHORTS - time.time()))
            turn, cohort = divmod(number, COHORTS)
            for client in range(cohort, len(self._recorded), COHORTS):
                events = self._recorded[client]
                body = events[turn % len(events)]
                await self._joined[client]({"type": "http.response.body", "body": body, "more_body": True})


def send_bare(pipe: Connection, port: int, recorded: Sequence[Sequence[bytes]]) -> None:
    app: Any = BareStreams(recorded, pipe)
    pipe.send(os.getpid())
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        lifespan="off",
        log_level="error",
    )


async def read_bare(port: int, pid: int, sending: Connection) -> Outcome:
    async with reading(port, [f"/{client}" for client in range(CLIENTS)]) as readers:
        start: float = await asyncio.to_thread(receive, sending, within=READY_SECONDS)
        await asyncio.sleep(SETTLING_SECONDS)
        began, ended, cpu, load_cpu = await measured(pid, BARE_SECONDS)
    latencies: list[float] = []
    events = deliveries = 0
    for client, reader in enumerate(readers):
        # The first event says that the reader has joined; the next is sent in its cohort's first turn.
        turn = -1
        for at, whole in reader.events():
            for event in whole.split(EVENT_END)[:-1]:
                due = start + (turn + client % COHORTS / COHORTS) * WINDOW_SECONDS
                turn += 1
                if began <= at < ended:
                    events += 1
                    deliveries += len(QUOTE.findall(event))
                    latencies.append((at - due) * 1e3)
    return Outcome(ended - began, events, deliveries, cpu, load_cpu, np.array(latencies))


def run_bare(recorded: Sequence[Sequence[bytes]]) -> Outcome:
    port = free_port()
    with part(send_bare, port, recorded, core=MEASURED_CORE) as sending:
        pid: int = receive(sending, within=READY_SECONDS)
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError):
                return uvloop.run(read_bare(port, pid, sending))
            time.sleep(0.05)
    raise SystemExit("the bare app does not answer")


# --- the bench ------------------------------------------------------------------------------------------------------


def report(name: str, outcome: Outcome) -> None:
    p50, p99 = np.percentile(outcome.latencies_ms, (50, 99))
    print(
        f"  {name:<10} {outcome.deliveries / outcome.seconds:>9,.0f} {outcome.events / outcome.seconds:>9,.0f}"
        f"  {outcome.cpu_share:>5.0%} {outcome.cpu_us:>8.1f}"
        f"  {p50:>7.1f} {p99:>7.1f}   readers {outcome.load_cpu_seconds / outcome.seconds:.0%} of the other core"
    )


def main() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, files), hard))
    pin(os.getpid(), LOAD_CORE)
    gc.disable()
    run = run_gateway()
    gateway, raw, expected = run.outcome(), run.raw_deliveries(), run.expected_deliveries()
    bare = run_bare(run.recorded())
    print(f"stream: {CLIENTS:,} readers x {SYMBOLS_EACH} of {INSTRUMENTS:,} symbols, {TICKS_PER_SECOND:,} ticks/s")
    print("             quotes/s  events/s    CPU us/event  p50, p99 ms")
    report("gateway", gateway)
    report("bare SSE", bare)
    print(
        f"  {raw / gateway.seconds:,.0f} quotes/s unfolded; a window of {WINDOW_SECONDS * 1e3:.0f} ms leaves"
        f" {expected / raw:.1%}, {gateway.deliveries / raw:.1%} came: {gateway.deliveries / expected:.1%} of it;"
        f" a reader's events are {CLIENTS * gateway.seconds / gateway.events * 1e3:.0f} ms apart;"
        f" {run.last_words_missing()} of {CLIENTS * SYMBOLS_EACH:,} last prices missing"
    )
    print(f"  CPU an event {gateway.cpu_us / bare.cpu_us:.2f} x the bare app's; {surroundings()}")


if __name__ == "__main__":
    main()
