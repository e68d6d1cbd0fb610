"""Public reads against their limit: a bare ASGI app answering the same bytes, in the same run, on the same core.

The server under test has a core of its own (where the system can pin); the load and everything else share the other.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import uvloop
from load import Result, Target, closed_loop, fixed_rate
from processes import LOAD_CORE, MEASURED_CORE, pin

from chassis.testing import free_port, stop_process

ROUND_SECONDS = 2.0
ROUNDS = 5
# Every limit is on; they are set so high that one address does not reach them in a run.
UNREACHED_LIMITS = dict.fromkeys(
    ("GATEWAY_LIMIT_CACHED", "GATEWAY_LIMIT_READ", "GATEWAY_LIMIT_REGISTER"), "100000000/minute"
)
HERE = Path(__file__).parent


def fetch(url: str, body: dict[str, Any] | None = None) -> bytes:
    payload = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=payload, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        return bytes(reply.read())


@contextmanager
def running_suite(folder: Path, **environment: str) -> Iterator[dict[str, Any]]:
    """Run the whole suite and yield its run.json."""
    env = {
        **os.environ,
        "RUN_DIR": str(folder),
        "GATEWAY_PORT": str(free_port()),
        "LOG_LEVEL": "WARNING",
        **environment,
    }
    log = folder / "suite.log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "suite"], env=env, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 60
        while not (folder / "run.json").exists() or "ready" not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(log.read_text()[-3000:])
            time.sleep(0.1)
        yield json.loads((folder / "run.json").read_text())
    finally:
        stop_process(process)


@contextmanager
def bare_app(folder: Path, body: bytes) -> Iterator[int]:
    port = free_port()
    file = folder / f"{uuid.uuid4().hex}.json"
    file.write_bytes(body)
    process = subprocess.Popen([sys.executable, str(HERE / "bare.py"), str(port), str(file)])
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with suppress(urllib.error.URLError, OSError):
                fetch(f"http://127.0.0.1:{port}/")
                break
            time.sleep(0.05)
        pin(process.pid, MEASURED_CORE)
        yield port
    finally:
        stop_process(process)


def side_by_side(
    ours: Target, limit: Target, *, rounds: int = ROUNDS, seconds: float = ROUND_SECONDS
) -> tuple[Result, Result, float]:
    """Alternate rounds of both; return the best round of each and the median of the rounds' ratios."""
    pairs = [(uvloop.run(closed_loop(ours, seconds)), uvloop.run(closed_loop(limit, seconds))) for _ in range(rounds)]
    ratios = sorted(own.rate / bare.rate for own, bare in pairs)
    return (
        max((own for own, _ in pairs), key=lambda r: r.rate),
        max((b for _, b in pairs), key=lambda r: r.rate),
        ratios[rounds // 2],
    )


def report(name: str, aim: str, measured: tuple[Result, Result, float]) -> None:
    ours, limit, ratio = measured
    print(
        f"{name:<34} {ours.rate:>9,.0f}/s  bare {limit.rate:>9,.0f}/s  ratio {ratio:.2f}  (aim {aim})"
        f"  not 200: {ours.not_ok}"
    )


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="bourse-bench-") as name,
        running_suite(Path(name), **UNREACHED_LIMITS) as run,
    ):
        folder = Path(name)
        pids = {process["name"]: process["pid"] for process in run["processes"]}
        for process, pid in pids.items():
            pin(pid, MEASURED_CORE if process == "gateway" else LOAD_CORE)
        pin(os.getpid(), LOAD_CORE)
        port = int(run["gateway_url"].rsplit(":", 1)[1])
        base = run["gateway_url"]
        account = {"email": f"bench-{uuid.uuid4().hex[:8]}@example.com", "password": "correct horse battery"}
        token = json.loads(fetch(f"{base}/api/auth/register", account))["access_token"]
        batch = "/api/portfolio/live-prices?symbols=" + ",".join(_symbols())
        bearer = (("Authorization", f"Bearer {token}"),)
        cases = [
            ("index snapshot", ">= 0.60", Target(port, "/api/index/snapshot")),
            ("live prices of 50 from the board", ">= 0.45", Target(port, batch)),
            ("cached read with a bearer token", ">= 0.50", Target(port, "/api/index/snapshot", bearer)),
        ]
        for case, aim, target in cases:
            body = fetch(base + target.path)
            with bare_app(folder, body) as bare_port:
                report(case, aim, side_by_side(target, Target(bare_port, "/", target.headers)))
        steady = uvloop.run(fixed_rate(cases[0][2], per_second=500, seconds=10))
        p50, p99 = (steady.percentile(share) * 1e3 for share in (0.5, 0.99))
        print(f"{'index snapshot at 500/s':<34} p50 {p50:.2f} ms  p99 {p99:.2f} ms  (aim p99 < 2 ms)")


def _symbols() -> list[str]:
    """Return 50 instruments of the NIFTY and the large US listings, by name."""
    india = (
        "RELIANCE TCS INFY HDFCBANK ICICIBANK ITC SBIN BHARTIARTL LT AXISBANK KOTAKBANK HINDUNILVR MARUTI TITAN WIPRO "
        "SUNPHARMA NTPC POWERGRID ONGC TATASTEEL ULTRACEMCO NESTLEIND BAJFINANCE ASIANPAINT HCLTECH"
    )
    united_states = (
        "AAPL MSFT NVDA AMZN GOOGL META TSLA AVGO COST NFLX AMD INTC CSCO PEP ADBE QCOM TXN AMGN INTU SBUX GILD "
        "MDLZ ISRG BKNG ADP"
    )
    return [f"NSE:{symbol}" for symbol in india.split()] + [f"NASDAQ:{symbol}" for symbol in united_states.split()]


if __name__ == "__main__":
    main()
