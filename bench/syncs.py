"""A sync, and the reads of what it left, beside the least that each could be.

A sync stands beside the vendor's own SDK making the same calls from this process; a read of 200 holdings, each revalued
with the market's price, and of a year's trend beside a bare SQLite query of the same rows written as JSON. All wait for
one another: one request at a time, for the latency a user sees.
"""

import csv
import json
import os
import sqlite3
import statistics
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from kiteconnect import KiteConnect
from processes import LOAD_CORE, MEASURED_CORE, part, pin, receive, surroundings
from reads import UNREACHED_LIMITS, fetch, running_suite

from upstreams.instruments import LISTINGS
from upstreams.kite_accounts import KiteAccount
from upstreams.payloads import kite_holding
from upstreams.servers import brokers_server

HOLDINGS = 200
SYNCS = 40
READS = 400
DAYS = 365
API_KEY, API_SECRET = "sandbox-bench", "demo-secret"
START_SECONDS = 20.0


def serve_brokers(pipe: Connection, instruments: Sequence[tuple[str, str]]) -> None:
    """Be the vendor: an account with 200 holdings whose one-time tokens are whatever is sent first."""
    rows = [
        kite_holding(LISTINGS[0], number % 40 + 1, 100.0 + number, exchange=exchange, tradingsymbol=symbol, isin="")
        for number, (exchange, symbol) in enumerate(instruments)
    ]
    with brokers_server([KiteAccount(API_KEY, API_SECRET, holdings=rows, token_prefix="")]) as brokers:
        pipe.send(brokers.url)
        pipe.poll(None)


def timed(act: Callable[[], Any], times: int) -> list[float]:
    """Return how long each call took, in milliseconds."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        taken.append((time.perf_counter() - began) * 1e3)
    return taken


def report(name: str, ours: list[float], bare: list[float], beside: str) -> None:
    quantiles = statistics.quantiles(ours, n=100, method="inclusive")
    median, least = statistics.median(ours), statistics.median(bare)
    print(
        f"{name:<36} p50 {median:7.1f} ms  p99 {quantiles[98]:7.1f} ms"
        f"  {beside} p50 {least:6.2f} ms  ({median / least:.1f} x)"
    )


def sync_with_the_sdk(url: str) -> None:
    """Make the calls of a sync, and no more."""
    client = KiteConnect(API_KEY, root=url)
    client.generate_session(uuid.uuid4().hex, API_SECRET)
    assert len(client.holdings()) == HOLDINGS
    client.positions()
    client.invalidate_access_token()


class Bourse:
    """A user of the running suite."""

    def __init__(self, base: str) -> None:
        self._base = base
        account = {"email": f"bench-{uuid.uuid4().hex[:8]}@example.com", "password": "correct horse battery"}
        registered = json.loads(fetch(f"{base}/api/auth/register", account))
        self.user_id = str(registered["user"]["id"])
        self._headers = {"Authorization": f"Bearer {registered['access_token']}", "Content-Type": "application/json"}

    def sync(self) -> None:
        body = {"api_key": API_KEY, "api_secret": API_SECRET, "request_token": uuid.uuid4().hex}
        assert self._ask("/api/portfolio/sync", json.dumps(body).encode())["holdings_count"] == HOLDINGS

    def read(self, path: str) -> Any:
        return self._ask(path, None)

    def _ask(self, path: str, body: bytes | None) -> Any:
        request = urllib.request.Request(self._base + path, data=body, headers=self._headers)
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.loads(reply.read())


@contextmanager
def database_of(folder: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / "portfolio.sqlite3", timeout=10)) as connection:
        yield connection


def write_a_year(folder: Path, user_id: str) -> None:
    """Put a snapshot of each day of the year behind today's where the nightly job would have put it."""
    today = datetime.now(UTC).date()
    with database_of(folder) as connection, connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(snapshots)")]
        [newest] = connection.execute("SELECT * FROM snapshots WHERE user_id = ? LIMIT 1", [user_id])
        known = dict(zip(columns, newest, strict=True))
        marks = ", ".join("?" * len(columns))
        for days in range(1, DAYS):
            row = known | {"date": date.isoformat(today - timedelta(days=days))}
            statement = f"INSERT OR REPLACE INTO snapshots VALUES ({marks})"
            connection.execute(statement, [row[column] for column in columns])


def bare_read(folder: Path, query: str, user_id: str) -> Callable[[], str]:
    def read() -> str:
        with database_of(folder) as connection:
            return json.dumps(connection.execute(query, [user_id]).fetchall())

    return read


def known_instruments() -> list[tuple[str, str]]:
    """Return 200 Indian instruments that market has, so that each holding is revalued."""
    listing = resources.files("market") / "providers" / "reference" / "instruments.csv"
    rows = csv.DictReader(listing.read_text().splitlines())
    indian = [(row["exchange"], row["symbol"]) for row in rows if row["exchange"] in {"NSE", "BSE"}]
    return sorted(indian, reverse=True)[:HOLDINGS]


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="bourse-bench-") as name,
        part(serve_brokers, known_instruments(), core=LOAD_CORE) as vendor,
    ):
        folder = Path(name)
        url = receive(vendor, within=START_SECONDS)
        limits = {**UNREACHED_LIMITS, "GATEWAY_LIMIT_SYNC": "100000000/minute"}
        with running_suite(folder, BROKERS_SANDBOX_URL=url, **limits) as run:
            for process in run["processes"]:
                pin(process["pid"], MEASURED_CORE)
            pin(os.getpid(), LOAD_CORE)
            user = Bourse(run["gateway_url"])
            measure(user, folder, url)


def revalued_rows(user: Bourse) -> int:
    """Count the rows at market's price, once each instrument has had a tick since the sync or that takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        rows = user.read("/api/portfolio/holdings")["holdings"]
        count = len([row for row in rows if row["source"] == "sample"])
        if count == HOLDINGS or time.monotonic() > deadline:
            return count
        time.sleep(0.2)


def measure(user: Bourse, folder: Path, url: str) -> None:
    print(surroundings())
    user.sync()
    report(
        f"sync of {HOLDINGS} holdings, end to end",
        timed(user.sync, SYNCS),
        timed(lambda: sync_with_the_sdk(url), SYNCS),
        "the SDK alone",
    )
    revalued = revalued_rows(user)
    holdings = timed(lambda: user.read("/api/portfolio/holdings"), READS)
    query = "SELECT * FROM holdings WHERE user_id = ? ORDER BY broker, ordinal"
    bare = timed(bare_read(folder, query, user.user_id), READS)
    report(f"{HOLDINGS} holdings, {revalued} revalued", holdings, bare, "a bare query")
    write_a_year(folder, user.user_id)
    trend = f"/api/portfolio/pnl?days={DAYS}"
    found = len(user.read(trend)["trend"])
    query = "SELECT * FROM snapshots WHERE user_id = ? ORDER BY date"
    bare = timed(bare_read(folder, query, user.user_id), READS)
    report(f"P&L with a trend of {found} days", timed(lambda: user.read(trend), READS), bare, "a bare query")


if __name__ == "__main__":
    main()
