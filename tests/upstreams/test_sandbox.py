"""`make sandbox` as a first-time user meets it: what it prints is pasted into a shell, and the SDKs are let at it."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest
from kiteconnect import KiteConnect
from kiteconnect.exceptions import TokenException

from chassis.testing import free_port, stop_process
from upstreams.breeze_process import BreezeProcess
from upstreams.serving import listening_socket

ROOT = Path(__file__).parents[2]
START_SECONDS = 30.0
TCS_PRICE = 4321.5
LIVE_PRICES_PATH = "/api/portfolio/live-prices?"
LIVE_PRICES = json.dumps({"quotes": [{"instrument": "NSE:TCS", "last_price": TCS_PRICE}]}).encode()
LOGGED_IN = b'{"user":{"id":"1"},"access_token":"the-token","expires_in":900}'


class Sandbox(NamedTuple):
    """A sandbox that runs, and what it printed."""

    process: "subprocess.Popen[bytes]"
    url: str
    printed: str


def command(sandbox_port: int, gateway_port: int) -> dict[str, Any]:
    ports = {"SANDBOX_PORT": str(sandbox_port), "GATEWAY_PORT": str(gateway_port)}
    return {"args": [sys.executable, ROOT / "scripts" / "sandbox.py"], "env": {**os.environ, **ports}}


@contextmanager
def running_sandbox(log: Path, gateway_port: int) -> Iterator[Sandbox]:
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(**command(port, gateway_port), stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + START_SECONDS
        while "pnl?days=30" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield Sandbox(process, f"http://127.0.0.1:{port}", log.read_text())
    finally:
        stop_process(process)


class Gateway:
    """Notes what is asked of it, answers a login with a token, and says what TCS costs."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str | None, Any]] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = LIVE_PRICES if self.path.startswith(LIVE_PRICES_PATH) else LOGGED_IN
                if answer is LOGGED_IN:
                    asked.append((self.command, self.path, self.headers["Authorization"], json.loads(body or "null")))
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_GET  # noqa: N815  # named as http.server looks it up

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        yield server


@pytest.fixture(scope="module")
def sandbox(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox") / "log", gateway.port) as running:
        yield running


@pytest.fixture(scope="module")
def pasted(sandbox: Sandbox, gateway: Gateway) -> list[tuple[str, str, str | None, Any]]:
    """What reaches the gateway when the printed lines are pasted into a shell."""
    lines = sandbox.printed[sandbox.printed.index("\nB=") :]
    outcome = subprocess.run(["sh", "-eu"], input=lines, text=True, capture_output=True, timeout=30, check=False)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    return gateway.asked


def test_the_printed_lines_log_in_sync_and_read(pasted: list[tuple[str, str, str | None, Any]]) -> None:
    assert [(method, path, bearer) for method, path, bearer, _ in pasted] == [
        ("POST", "/api/auth/register", None),
        ("POST", "/api/auth/login", None),
        ("POST", "/api/portfolio/sync", "Bearer the-token"),
        ("POST", "/api/portfolio/icici-sync", "Bearer the-token"),
        ("GET", "/api/portfolio/holdings", "Bearer the-token"),
        ("GET", "/api/portfolio/positions", "Bearer the-token"),
        ("GET", "/api/portfolio/pnl?days=30", "Bearer the-token"),
    ]
    assert pasted[0][3] == pasted[1][3]
    assert pasted[0][3]["email"].endswith("@example.com")


def test_kite_takes_what_was_pasted_once(sandbox: Sandbox, pasted: list[tuple[str, str, str | None, Any]]) -> None:
    credentials = pasted[2][3]
    client = KiteConnect(credentials["api_key"], root=sandbox.url)
    client.generate_session(credentials["request_token"], credentials["api_secret"])
    holdings, positions = client.holdings(), client.positions()
    assert len(holdings) >= 15
    assert all(row["last_price"] > 0 and row["isin"] for row in holdings)
    assert [len(positions[kind]) for kind in ("net", "day")] == [3, 2]
    [option] = [row for row in positions["net"] if row["exchange"] == "NFO"]
    assert option["tradingsymbol"] in {row["tradingsymbol"] for row in client.instruments("NFO")}
    with pytest.raises(TokenException):
        client.generate_session(credentials["request_token"], credentials["api_secret"])


def test_breeze_takes_what_was_pasted(
    sandbox: Sandbox, pasted: list[tuple[str, str, str | None, Any]], tmp_path: Path
) -> None:
    client = BreezeProcess(sandbox.url, tmp_path, **pasted[3][3])
    assert client.opened == {"answer": None}
    holdings = client.call("get_portfolio_holdings", exchange_code="NSE")["answer"]["Success"]
    demat = client.call("get_demat_holdings")["answer"]["Success"]
    positions = client.call("get_portfolio_positions")["answer"]["Success"]
    client.end()
    assert {row["stock_code"] for row in holdings} == {row["stock_code"] for row in demat}
    assert (len(holdings), len(positions)) == (9, 1)


def test_prices_are_those_of_a_running_market_or_the_levels_of_the_sample_market(
    sandbox: Sandbox, pasted: list[tuple[str, str, str | None, Any]]
) -> None:
    file = ROOT / "services/market/src/market/providers/reference/instruments.csv"
    with file.open(newline="") as table:
        [row] = [row for row in csv.DictReader(table) if (row["exchange"], row["symbol"]) == ("NSE", "MARUTI")]
    client = KiteConnect("sandbox-zerodha", root=sandbox.url)
    client.generate_session("sandbox-another", pasted[2][3]["api_secret"])
    prices = client.ltp("NSE:MARUTI", "NSE:TCS")
    assert prices["NSE:TCS"]["last_price"] == TCS_PRICE
    assert prices["NSE:MARUTI"]["last_price"] == float(row["price"])


def test_it_says_how_make_run_finds_it(sandbox: Sandbox, gateway: Gateway) -> None:
    port = sandbox.url.rpartition(":")[2]
    line = f"With `GATEWAY_PORT={gateway.port} SANDBOX_PORT={port} make run` in another terminal"
    assert line in sandbox.printed
    assert re.search(r"marked\s+simulated", sandbox.printed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_peace(number: signal.Signals, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running_sandbox(log, gateway_port=free_port()) as running:
        running.process.send_signal(number)
        assert running.process.wait(10) == 0
        assert log.read_text() == running.printed


def test_a_taken_port_is_said_in_a_sentence() -> None:
    with listening_socket(None) as taken:
        port = taken.getsockname()[1]
        outcome = subprocess.run(**command(port, free_port()), capture_output=True, text=True, timeout=30, check=False)
    assert outcome.returncode == 1
    assert outcome.stderr == (
        f"port {port} of 127.0.0.1 is taken: set SANDBOX_PORT to a free one, for `make run` too\n"
    )
