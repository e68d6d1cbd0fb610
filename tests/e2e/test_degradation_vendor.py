"""What readers see while a vendor is gone, slow or mute: the next vendor's answers, or what was answered last, marked.

Each vendor's own faults (its refusals, its broken and late answers, its limits) are tested where it is asked.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from harness.backends import EMBEDDED, UNLIMITED, running_suite
from harness.clients import gateway_client
from harness.degradation import AWAY, ENVELOPE, LONGEST_SECONDS, OK, Row, proxy_before, table_of
from harness.fault_proxy import FaultProxy
from harness.prober import ALIVE, Outcome, Prober, Question, summary_of
from harness.processes import RunningSuite
from upstreams.egress import egress
from upstreams.fmp import fmp_server
from upstreams.yahoo import yahoo_server

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

FAULT_SECONDS = 15.0
# What failed is let rest: ten seconds after a few failures, a minute after a vendor's own limit.
WELL_SECONDS = 90.0
# Both stand-ins know these.
STOCKS = ("AAPL", "MSFT", "NVDA")
# These are listed, and neither stand-in has anything about them, which is not kept.
UNKEPT = ("GOOGL", "AMZN", "TSLA")
NEVER_ASKED = {"gone": "/api/stock/dividend/AAPL", "mute": "/api/stock/ratings/AAPL"}
KEPT = "/api/stock/price/AAPL"


@dataclass(frozen=True, slots=True)
class Vendors:
    """The suite on FMP, with Yahoo for when FMP fails, each behind a proxy."""

    suite: RunningSuite
    fmp: FaultProxy
    yahoo: FaultProxy
    rows: list[Row]


@pytest.fixture(scope="module")
def vendors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendors]:
    with ExitStack() as stack:
        fmp, yahoo = stack.enter_context(fmp_server()), stack.enter_context(yahoo_server())
        before_fmp, before_yahoo = proxy_before(stack, fmp.server.port), proxy_before(stack, yahoo.server.port)
        way_out = stack.enter_context(egress(before_yahoo.port, tmp_path_factory.mktemp("egress")))
        environment = {
            **UNLIMITED,
            **way_out.environment,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "MARKET_PROVIDERS": "fmp,yahoo",
            "MARKET_POLL_SECONDS": "0",
            "FMP_API_KEY": fmp.key,
            "FMP_BASE_URL": fmp.url.replace(f":{fmp.server.port}", f":{before_fmp.port}"),
            "YAHOO_BUDGET": "100000/minute",
            "FMP_BUDGET": "100000/minute",
        }
        suite = stack.enter_context(running_suite(EMBEDDED, tmp_path_factory.mktemp("suite"), environment))
        running = Vendors(suite, before_fmp, before_yahoo, [])
        yield running
        for proxy in (before_fmp, before_yahoo):
            proxy.let_pass()
        print("\n" + table_of(running.rows))  # noqa: T201  # shown by -s


def questions() -> list[Question]:
    """Ask for what is kept for seconds, for days, and for what has to be asked of the vendors every time."""
    return [
        Question("price", lambda _: KEPT),
        Question("prices", lambda number: f"/api/stock/price/{','.join(STOCKS[: number % 3 + 1])}?long=true"),
        Question("unkept", lambda number: f"/api/stock/profile/{UNKEPT[number % 3]}", good=frozenset({404})),
        Question("bars", lambda number: f"/api/stock/historical-chart/5min/{STOCKS[number % len(STOCKS)]}"),
        Question("profile", lambda number: f"/api/stock/profile/{STOCKS[number % len(STOCKS)]}"),
        Question("hours", lambda _: "/api/exchange/hours/NASDAQ"),
        Question("health", lambda _: "/api/health"),
        ALIVE,
    ]


@asynccontextmanager
async def asking_during(
    vendors: Vendors, name: str, begin: Callable[[], None], heal: Callable[[], None]
) -> AsyncIterator[list[Outcome]]:
    prober = Prober(vendors.suite.gateway_url, questions(), symbols="NASDAQ:AAPL")
    async with prober.asking():
        await prober.until_good(seconds=WELL_SECONDS)
        began_at = time.monotonic()
        begin()
        try:
            while time.monotonic() < began_at + FAULT_SECONDS:
                await prober.until_asked(1)
        finally:
            healed_at = time.monotonic()
            heal()
        well_after = await prober.until_good(seconds=WELL_SECONDS)
    during = prober.since(began_at, healed_at)
    row = Row(name, summary_of(during), "each answer's source and freshness", f"{well_after:.1f}")
    vendors.rows.append(row)
    print(f"\n{row}")  # noqa: T201  # shown by -s
    slow = prober.slower_than(LONGEST_SECONDS)
    assert not slow, slow[:3]
    for outcome in prober.since(began_at):
        assert outcome.is_good or outcome.status in AWAY, outcome
        assert outcome.is_good or set(outcome.body) >= ENVELOPE, outcome
    yield during


FAULTS: dict[str, Callable[[FaultProxy], None]] = {
    "gone": FaultProxy.refuse,
    "mute": FaultProxy.mute,
    "cut off": FaultProxy.reset,
    "slow": lambda proxy: proxy.slow(400),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_while_one_vendor_fails_the_next_one_answers(vendors: Vendors, fault: str) -> None:
    async with asking_during(
        vendors, f"FMP {fault}", lambda: FAULTS[fault](vendors.fmp), vendors.fmp.let_pass
    ) as during:
        prices = [outcome for outcome in during if outcome.kind in {"price", "prices"}]
        assert {outcome.status for outcome in prices} <= OK


@pytest.mark.parametrize("fault", ["gone", "mute"])
async def test_while_all_vendors_fail_what_is_known_is_told_as_stale_and_the_rest_refused(
    vendors: Vendors, fault: str
) -> None:
    def begin() -> None:
        FAULTS[fault](vendors.fmp)
        FAULTS[fault](vendors.yahoo)

    def heal() -> None:
        vendors.fmp.let_pass()
        vendors.yahoo.let_pass()

    async with gateway_client(vendors.suite.gateway_url) as client:
        begin()
        try:
            refused = await client.get(NEVER_ASKED[fault])
        finally:
            heal()
    assert refused.status_code in AWAY, refused.text
    assert set(refused.json()) >= ENVELOPE
    async with asking_during(vendors, f"FMP and Yahoo {fault}", begin, heal) as during:
        kept = [outcome for outcome in during if outcome.kind in {"price", "hours", "health"}]
        assert {outcome.status for outcome in kept} <= OK
        told = {quote["freshness"] for outcome in kept if outcome.kind == "price" for quote in outcome.body}
        assert told <= {"live", "delayed", "stale", "closed"}
    async with gateway_client(vendors.suite.gateway_url) as client:
        [quote] = (await client.get(KEPT)).json()
        assert quote["freshness"] != "simulated"
