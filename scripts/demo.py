"""`make demo`: thirteen years of five US stocks through the whole suite, with prices and alerts live in the terminal.

The daily bars of bokeh-sampledata are written as a replay file; a user sets a buy and a sell alert on each stock; then
the replay starts. Everything shown is simulated from history and says so.
"""

import argparse
import asyncio
import csv
import gzip
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import nats

from chassis.bus import addresses_in
from suite.ports import choose_ports, is_port_free

EXCHANGES = {"AAPL": "NASDAQ", "FB": "NASDAQ", "GOOG": "NASDAQ", "MSFT": "NASDAQ", "IBM": "NYSE"}
START_SUBJECT = "control.replay.start"
FINISHED_SUBJECT = "events.market.replay_finished"
START_SECONDS = 60.0
STOP_SECONDS = 15.0
LAST_EVENTS_SECONDS = 3.0
BOLD, DIM, GREEN, RED, RESET = "\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[0m"


class SuiteDidNotStart(RuntimeError):
    """The suite ended or was not ready in time."""

    def __init__(self, log: Path) -> None:
        super().__init__(f"the suite did not start; its last lines:\n{log.read_text()[-3_000:]}")


@dataclass(frozen=True, slots=True)
class Bar:
    """One day of one stock."""

    instrument: str
    day: str
    open: float
    high: float
    low: float
    close: float
    volume: int


@dataclass(frozen=True, slots=True)
class Target:
    """An alert to set."""

    type: str
    symbol: str
    price: float


@dataclass(slots=True)
class Screen:
    """What the terminal shows: a line a stock, and under it what fired, the newest last."""

    is_live: bool
    quotes: dict[str, dict[str, Any]] = field(default_factory=dict)
    fires: list[str] = field(default_factory=list)
    lines_drawn: int = 0

    def take(self, quotes: Sequence[dict[str, Any]]) -> None:
        """Note new prices and draw."""
        self.quotes |= {quote["symbol"]: quote for quote in quotes}
        if self.is_live:
            self._draw()

    def tell(self, alert: dict[str, Any]) -> None:
        """Note an alert that fired and draw."""
        day = datetime.fromisoformat(alert["fired_at"]).date()
        text = f"{alert['type']:<4} {alert['symbol']:<12} target {float(alert['price']):>9.2f}"
        line = f"{day}  {text}  fired at {alert['fired_price']:>9.2f}  ({alert['source']}, {alert['freshness']})"
        self.fires.append(line)
        if self.is_live:
            self._draw()
        else:
            print(line, flush=True)

    def _draw(self) -> None:
        lines = [f"{BOLD}{self._day()}{RESET}  {DIM}replayed history, simulated{RESET}", ""]
        lines += [self._line(symbol) for symbol in sorted(self.quotes)]
        lines += ["", f"{BOLD}alerts fired{RESET}", *self.fires]
        up = f"\033[{self.lines_drawn}F" if self.lines_drawn else ""
        sys.stdout.write(up + "".join(f"\033[2K{line}\n" for line in lines))
        sys.stdout.flush()
        self.lines_drawn = len(lines)

    def _day(self) -> str:
        newest: str = max(quote["as_of"] for quote in self.quotes.values())
        return newest[:10]

    def _line(self, symbol: str) -> str:
        quote = self.quotes[symbol]
        percent = quote["change_pct"]
        if percent is None:
            return f"{symbol:<14} {quote['last_price']:>10.2f}"
        colour = GREEN if percent >= 0 else RED
        return f"{symbol:<14} {quote['last_price']:>10.2f} {colour}{percent:>+8.2f} %{RESET}"


def history() -> list[Bar]:
    """Read the bars of bokeh-sampledata, in the file's order."""
    spec = importlib.util.find_spec("bokeh_sampledata")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("bokeh_sampledata")
    with gzip.open(Path(spec.origin).parent / "_data" / "stocks.csv.gz", "rt", newline="") as file:
        return [_bar(row) for row in csv.DictReader(file)]


def _bar(row: dict[str, str]) -> Bar:
    return Bar(
        instrument=f"{EXCHANGES[row['Ticker']]}:{row['Ticker']}",
        day=row["Date"],
        open=float(row["Open"]),
        high=float(row["High"]),
        low=float(row["Low"]),
        close=float(row["Close"]),
        volume=int(row["Volume"]),
    )


def write_replay(bars: Sequence[Bar], path: Path) -> None:
    """Write bars as the replay source reads them."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["symbol", "timestamp", "open", "high", "low", "close", "volume"])
        writer.writerows([bar.instrument, bar.day, bar.open, bar.high, bar.low, bar.close, bar.volume] for bar in bars)


def targets(bars: Sequence[Bar]) -> list[Target]:
    """Put a buy a little above each stock's lowest price and a sell a little below its highest."""
    chosen: list[Target] = []
    for instrument in sorted({bar.instrument for bar in bars}):
        own = [bar for bar in bars if bar.instrument == instrument]
        chosen.append(Target("buy", instrument, round(min(bar.low for bar in own) * 1.2, 2)))
        chosen.append(Target("sell", instrument, round(max(bar.high for bar in own) * 0.8, 2)))
    return chosen


@contextmanager
def demo_folder() -> Iterator[Path]:
    """Make a folder of the demo's own under RUN_DIR, gone afterwards."""
    parent = Path(os.environ.get("RUN_DIR") or ".run").absolute()
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = Path(tempfile.mkdtemp(prefix="demo-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_suite(folder: Path, replay: Path, speed: float) -> "Iterator[subprocess.Popen[bytes]]":
    """Run the suite on the replay, held until it is told to start."""
    (port,) = choose_ports(folder / "gateway", 1, is_free=is_port_free)
    environment = {
        **os.environ,
        "RUN_DIR": str(folder / "run"),
        "GATEWAY_PORT": os.environ.get("GATEWAY_PORT") or str(port),
        "MARKET_PROVIDERS": "replay",
        "REPLAY_PATH": str(replay),
        "REPLAY_SPEED": f"{speed:.0f}",
        "REPLAY_HOLD": "1",
    }
    with (folder / "suite.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "suite"], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS)


async def ready(process: "subprocess.Popen[bytes]", folder: Path) -> dict[str, Any]:
    """Wait until the suite is ready and return its manifest.

    Raises:
        SuiteDidNotStart: it ended, or took longer than a minute.
    """
    manifest = folder / "run" / "run.json"
    try:
        async with asyncio.timeout(START_SECONDS):
            while not manifest.exists():
                if process.poll() is not None:
                    raise SuiteDidNotStart(folder / "suite.log")
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise SuiteDidNotStart(folder / "suite.log") from None
    content: dict[str, Any] = json.loads(manifest.read_text())
    return content


async def set_alerts(client: httpx.AsyncClient, wanted: Sequence[Target]) -> dict[str, str]:
    """Register a user, set its alerts, and return the header that says who it is."""
    account = {"email": f"demo-{uuid.uuid4().hex[:8]}@example.com", "password": uuid.uuid4().hex}
    answer = (await client.post("/api/auth/register", json=account)).raise_for_status()
    client.cookies.clear()
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    for target in wanted:
        body = {"type": target.type, "symbol": target.symbol, "price": target.price}
        (await client.post("/api/alerts/me", json=body, headers=bearer)).raise_for_status()
    return bearer


async def events(answer: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    """Yield a stream's events by name and content."""
    name = ""
    async for line in answer.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        if line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


async def show(client: httpx.AsyncClient, bearer: dict[str, str], screen: Screen) -> None:
    """Show the stream until cancelled."""
    parameters = {"symbols": ",".join(f"{exchange}:{symbol}" for symbol, exchange in sorted(EXCHANGES.items()))}
    async with client.stream("GET", "/api/stream", params=parameters, headers=bearer) as answer:
        answer.raise_for_status()
        async for name, body in events(answer):
            if name in {"snapshot", "prices"} and body["quotes"]:
                screen.take(body["quotes"])
            elif name == "alert":
                screen.tell(body)


async def play(nats_url: str) -> None:
    """Start the replay and wait for its end."""
    bus = await nats.connect(addresses_in(nats_url), connect_timeout=5)
    finished = asyncio.Event()

    async def finish(_: object) -> None:
        finished.set()

    await bus.subscribe(FINISHED_SUBJECT, cb=finish)
    await bus.publish(START_SUBJECT, b"")
    await finished.wait()
    await asyncio.sleep(LAST_EVENTS_SECONDS)
    await bus.close()


async def show_until_played(client: httpx.AsyncClient, bearer: dict[str, str], nats_url: str, screen: Screen) -> None:
    """Start the replay and show it to its end, or until the stream breaks."""
    showing = asyncio.create_task(show(client, bearer, screen))
    playing = asyncio.create_task(play(nats_url))
    done, unfinished = await asyncio.wait({showing, playing}, return_when=asyncio.FIRST_COMPLETED)
    for task in unfinished:
        task.cancel()
    for task in done:
        task.result()


async def demonstrate(seconds: float) -> None:
    """Replay the whole history in about `seconds`."""
    bars = history()
    days = [datetime.fromisoformat(bar.day) for bar in bars]
    speed = (max(days) - min(days)).total_seconds() / seconds
    with demo_folder() as folder:
        write_replay(bars, folder / "history.csv")
        with running_suite(folder, folder / "history.csv", speed) as process:
            print("starting the suite ...", flush=True)
            manifest = await ready(process, folder)
            wanted = targets(bars)
            screen = Screen(is_live=sys.stdout.isatty())
            async with httpx.AsyncClient(base_url=manifest["gateway_url"], timeout=30, trust_env=False) as client:
                bearer = await set_alerts(client, wanted)
                print(f"{len(wanted)} alerts set; {manifest['gateway_url']} answers meanwhile; Ctrl-C ends it\n")
                await show_until_played(client, bearer, manifest["nats_url"], screen)
            print(f"\n{len(screen.fires)} of {len(wanted)} alerts fired")


def main() -> int:
    """Run the demo and return the exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description="Replay thirteen years of five US stocks.")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the replay takes (60)")
    for number in (signal.SIGTERM, signal.SIGHUP):
        # As Ctrl-C: the suite that was started is ended on the way out.
        signal.signal(number, signal.default_int_handler)
    try:
        asyncio.run(demonstrate(parser.parse_args().seconds))
    except KeyboardInterrupt:
        return 130
    except SuiteDidNotStart as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
