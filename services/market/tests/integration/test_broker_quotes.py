"""Market with brokers as its sources: a brokers service of our own making, a real NATS and a real database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from bourse.brokers.v1.quotes_pb2_grpc import (
    BrokerQuoteServiceServicer,
    BrokerQuoteServiceStub,
    add_BrokerQuoteServiceServicer_to_server,
)
from grpc.aio import ServicerContext
from grpc_health.v1 import health_pb2, health_pb2_grpc
from nats.aio.client import Client
from pydantic import SecretStr

from bourse.brokers.v1 import brokers_pb2
from bourse.brokers.v1 import quotes_pb2 as broker_quotes_pb2
from bourse.market.v1 import (
    instruments_pb2,
    instruments_pb2_grpc,
    quotes_pb2,
    quotes_pb2_grpc,
    snapshot_pb2,
    snapshot_pb2_grpc,
    ticks_pb2,
)
from chassis.clock import Clock, ManualClock
from chassis.errors import Code, ServiceError
from chassis.health import Health
from chassis.rpc_client import open_channel, reason_of
from chassis.rpc_server import serving
from chassis.settings import ProcessSettings
from chassis.testing import NatsServer, free_port
from market.app import build
from market.domain.freshness import SessionFreshness
from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.quote_sources import SourceRefused
from market.domain.quotes import Freshness, Provenance
from market.domain.sessions import Venue, VenueSessions
from market.providers.brokers import source as broker_source
from market.providers.brokers.source import BrokerSource
from market.settings import Settings

SERVING = health_pb2.HealthCheckResponse.SERVING
ZERODHA, ICICI = brokers_pb2.BROKER_ZERODHA, brokers_pb2.BROKER_ICICI
NOON = datetime(2026, 1, 5, 6, 30, tzinfo=UTC)  # noon in India, on a Monday
EVENING = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
WAIT_SECONDS = 15.0


class SessionInactive(ServiceError):
    code = Code.UNAVAILABLE
    reason = "SESSION_INACTIVE"
    retry_after_seconds = 5.0


class BudgetSpent(ServiceError):
    code = Code.RESOURCE_EXHAUSTED
    reason = "BROKER_BUDGET_SPENT"
    retry_after_seconds = 0.5


class FakeBrokers(BrokerQuoteServiceServicer):
    """Answers every instrument with one price; fails or hangs by broker, as told; remembers what it was asked."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.failures: dict[int, ServiceError] = {}
        self.unknown: set[str] = set()
        self.asked: list[tuple[int, list[str]]] = []
        self.replacements: Mapping[str, broker_quotes_pb2.BrokerQuote] = {}
        self.as_of: datetime | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def GetBrokerQuotes(  # the contract's name
        self, request: broker_quotes_pb2.GetBrokerQuotesRequest, context: ServicerContext[Any, Any]
    ) -> broker_quotes_pb2.GetBrokerQuotesResponse:
        self.asked.append((request.broker, list(request.instruments)))
        await self.gate.wait()
        if request.broker in self.failures:
            raise self.failures[request.broker]
        price = 101.0 if request.broker == brokers_pb2.BROKER_ZERODHA else 102.0
        known = [each for each in request.instruments if each not in self.unknown]
        return broker_quotes_pb2.GetBrokerQuotesResponse(quotes=[self._quote(each, price) for each in known])

    def _quote(self, instrument: str, price: float) -> broker_quotes_pb2.BrokerQuote:
        if instrument in self.replacements:
            return self.replacements[instrument]
        quote = broker_quotes_pb2.BrokerQuote(
            instrument=instrument, last_price=price, previous_close=100.0, open=100.5, high=103.0, low=0.0, volume=5
        )
        quote.as_of.FromDatetime(self.as_of or self._clock.now())
        return quote


@asynccontextmanager
async def serve(brokers: FakeBrokers, address: str, folder: Path) -> AsyncIterator[None]:
    """Serve until the block is left."""
    settings = ProcessSettings(run_dir=folder, shutdown_grace_seconds=0.1)
    register = partial(add_BrokerQuoteServiceServicer_to_server, brokers)
    async with serving(address, [register], health=Health(), settings=settings):
        yield


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def brokers(clock: ManualClock) -> FakeBrokers:
    return FakeBrokers(clock)


@pytest.fixture
def address() -> str:
    return f"127.0.0.1:{free_port()}"


# --- the source


def share(number: int) -> Instrument:
    return Instrument(f"NSE:S{number}", Exchange.NSE, f"S{number}", f"S {number}", InstrumentKind.EQUITY, "INR")


class UnknownHours:
    """A calendar that reaches nowhere near now."""

    def sessions_of(self, venue: Venue) -> VenueSessions:
        day = datetime(2020, 1, 1, tzinfo=UTC).date()
        return VenueSessions(venue, [], known_from=day, known_through=day)


SHARES = [share(number) for number in range(1_001)]


@pytest.fixture
async def source(brokers: FakeBrokers, address: str, clock: ManualClock, tmp_path: Path) -> AsyncIterator[BrokerSource]:
    settings = ProcessSettings(run_dir=tmp_path)
    async with (
        serve(brokers, address, tmp_path),
        open_channel(address, [broker_quotes_pb2.DESCRIPTOR], settings=settings) as channel,
    ):
        stub = BrokerQuoteServiceStub(channel)
        yield BrokerSource("zerodha", SHARES, stub=stub, rule=SessionFreshness(UnknownHours(), clock))


async def test_a_quote_is_the_broker_s_with_its_time(source: BrokerSource) -> None:
    quote = (await source.quotes(SHARES[:1]))["NSE:S0"]
    assert quote.provenance == Provenance("zerodha", NOON, Freshness.LIVE)
    assert (quote.last_price, quote.previous_close, quote.change) == (101.0, 100.0, 1.0)
    assert (quote.open, quote.high, quote.low, quote.volume) == (100.5, 103.0, None, 5)


async def test_more_than_five_hundred_are_asked_for_in_several_calls(
    source: BrokerSource, brokers: FakeBrokers
) -> None:
    quotes = await source.quotes(SHARES)
    assert list(quotes) == [each.id for each in SHARES]
    assert sorted(len(instruments) for _, instruments in brokers.asked) == [1, 500, 500]


async def test_what_the_broker_does_not_know_is_left_out(source: BrokerSource, brokers: FakeBrokers) -> None:
    brokers.unknown = {"NSE:S0"}
    assert list(await source.quotes(SHARES[:2])) == ["NSE:S1"]


@pytest.mark.parametrize(
    "answer",
    [
        {"instrument": "NSE:S0", "last_price": 0.0},
        {"instrument": "NSE:S0", "last_price": float("nan")},
        {"instrument": "NSE:S0", "last_price": 100.0, "as_of": None},
        {"instrument": "NSE:OTHER", "last_price": 100.0},
    ],
)
async def test_what_is_no_price_of_what_was_asked_is_passed_over(
    source: BrokerSource, brokers: FakeBrokers, answer: dict[str, Any]
) -> None:
    quote = broker_quotes_pb2.BrokerQuote(**{key: value for key, value in answer.items() if key != "as_of"})
    if "as_of" not in answer:
        quote.as_of.FromDatetime(NOON)
    brokers.replacements = {"NSE:S0": quote}
    assert list(await source.quotes(SHARES[:2])) == ["NSE:S1"]


@pytest.mark.parametrize(
    ("failure", "problem", "retry_after"),
    [
        (SessionInactive("internals"), "has no active session", 5.0),
        (BudgetSpent("internals"), "may not be asked more often now", 0.5),
        (ServiceError("internals"), "did not answer", None),
    ],
)
async def test_why_it_does_not_answer_is_said_in_our_own_words(
    source: BrokerSource,
    brokers: FakeBrokers,
    *,
    failure: ServiceError,
    problem: str,
    retry_after: float | None,
) -> None:
    brokers.failures[ZERODHA] = failure
    with pytest.raises(SourceRefused) as raised:
        await source.quotes(SHARES[:1])
    assert (raised.value.problem, raised.value.retry_after_seconds) == (problem, retry_after)


async def test_a_brokers_service_that_hangs_is_given_up(
    source: BrokerSource, brokers: FakeBrokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_source, "DEADLINE_SECONDS", 0.1)
    brokers.gate.clear()
    with pytest.raises(SourceRefused, match="did not answer in time"):
        await source.quotes(SHARES[:1])


# --- market


@pytest.fixture
def settings(nats: NatsServer, address: str, tmp_path: Path) -> Settings:
    return Settings(
        run_dir=tmp_path,
        nats_url=SecretStr(nats.url),
        market_address=f"127.0.0.1:{free_port()}",
        market_providers=("zerodha", "icici"),
        brokers_address=address,
    )


async def quotes(channel: grpc.aio.Channel, *symbols: str) -> quotes_pb2.GetQuotesResponse:
    request = quotes_pb2.GetQuotesRequest(symbols=symbols, listing=quotes_pb2.LISTING_INDIA)
    response: quotes_pb2.GetQuotesResponse = await quotes_pb2_grpc.QuoteServiceStub(channel).GetQuotes(request)
    return response


async def snapshot(channel: grpc.aio.Channel) -> snapshot_pb2.GetSnapshotResponse:
    stub = snapshot_pb2_grpc.SnapshotServiceStub(channel)
    response: snapshot_pb2.GetSnapshotResponse = await stub.GetSnapshot(snapshot_pb2.GetSnapshotRequest())
    return response


async def has_snapshot(channel: grpc.aio.Channel) -> bool:
    try:
        await snapshot(channel)
    except grpc.aio.AioRpcError:
        return False
    return True


async def is_quoted_by(channel: grpc.aio.Channel, source: str) -> bool:
    return (await quotes(channel, "TCS")).quotes[0].provenance.source == source


async def status(channel: grpc.aio.Channel, check: str) -> int:
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=check))
    return int(answer.status)


async def is_refused_everywhere(channel: grpc.aio.Channel, *, why: str) -> bool:
    """Say whether quotes and snapshot alike are refused because no source answers, for the reason given."""
    told = []
    for call in (quotes(channel, "TCS"), snapshot(channel)):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
        assert (raised.value.code(), reason_of(raised.value)) == (grpc.StatusCode.UNAVAILABLE, "SOURCES_UNAVAILABLE")
        told.append(raised.value.details() or "")
    return all(why in each for each in told)


async def passing(clock: ManualClock, condition: Callable[[], Awaitable[bool]]) -> None:
    """Let time pass on the clock, a second at a time, until something holds."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not await condition():
            await clock.advance(1.0)
            await asyncio.sleep(0.02)


async def test_quotes_snapshot_and_instruments_are_the_brokers(
    settings: Settings, brokers: FakeBrokers, address: str, *, clock: ManualClock, tmp_path: Path
) -> None:
    async with (
        serve(brokers, address, tmp_path),
        build(settings, clock),
        grpc.aio.insecure_channel(settings.market_address) as channel,
    ):
        answer = await quotes(channel, "tcs", "BSE:HDFCBANK", "INDEX:NIFTY50", "NASDAQ:AAPL")
        assert [(each.instrument, each.last_price) for each in answer.quotes] == [
            ("NSE:TCS", 101.0),
            ("BSE:HDFCBANK", 101.0),
            ("INDEX:NIFTY50", 101.0),
        ]
        assert [(each.symbol, each.code) for each in answer.missing] == [("NASDAQ:AAPL", "SYMBOL_UNKNOWN")]
        for each in answer.quotes:
            assert (each.provenance.source, each.provenance.freshness) == ("zerodha", quotes_pb2.FRESHNESS_LIVE)
        shown = await snapshot(channel)
        assert (shown.nifty.price, shown.bank_nifty.price, shown.sensex.price) == (101.0, 101.0, 101.0)
        assert len(shown.sectors) >= 10
        assert not shown.signals
        assert shown.provenance.freshness == quotes_pb2.FRESHNESS_LIVE
        for check in ("", "database", "nats", "feed", "warmer:index:snapshot"):
            assert await status(channel, check) == SERVING, check
        listing = instruments_pb2_grpc.InstrumentServiceStub(channel).ListInstruments
        listed = (await listing(instruments_pb2.ListInstrumentsRequest())).instruments
        assert {each.exchange for each in listed} == {"NSE", "BSE", "INDEX"}
        assert {each.id for each in listed if each.exchange == "INDEX"} == {
            "INDEX:NIFTY50",
            "INDEX:BANKNIFTY",
            "INDEX:SENSEX",
        }
        assert {broker for broker, _ in brokers.asked} == {ZERODHA}


async def test_the_snapshot_asks_twice_every_five_seconds_whoever_reads(
    settings: Settings, brokers: FakeBrokers, address: str, *, clock: ManualClock, tmp_path: Path
) -> None:
    async with (
        serve(brokers, address, tmp_path),
        build(settings, clock),
        grpc.aio.insecure_channel(settings.market_address) as channel,
    ):
        before = len(brokers.asked)
        for _ in range(20):
            await clock.advance(1.0)
            await asyncio.sleep(0.05)
            await quotes(channel, "TCS", "INFY", "INDEX:NIFTY50")
            await snapshot(channel)
        # Eight calls are the snapshot's own. A reader whose second comes first asks for what it reads alone.
        assert len(brokers.asked) - before <= 12


async def test_market_starts_without_brokers_and_recovers_when_they_come(
    settings: Settings, brokers: FakeBrokers, address: str, *, clock: ManualClock, tmp_path: Path
) -> None:
    async with build(settings, clock), grpc.aio.insecure_channel(settings.market_address) as channel:
        assert await is_refused_everywhere(channel, why="zerodha cannot be asked, because the brokers service is away")
        assert await status(channel, "") == SERVING
        assert await status(channel, "warmer:index:snapshot") != SERVING
        async with serve(brokers, address, tmp_path):
            await passing(clock, lambda: has_snapshot(channel))
            await passing(clock, lambda: is_quoted_by(channel, "zerodha"))
            assert await status(channel, "") == SERVING


async def test_without_an_active_session_there_is_no_price_until_one_is_activated(
    settings: Settings, brokers: FakeBrokers, address: str, *, clock: ManualClock, tmp_path: Path
) -> None:
    brokers.failures = {ZERODHA: SessionInactive("none"), ICICI: SessionInactive("none")}
    async with (
        serve(brokers, address, tmp_path),
        build(settings, clock),
        grpc.aio.insecure_channel(settings.market_address) as channel,
    ):
        why = "no source of prices is answering: zerodha has no active session, icici has no active session"
        assert await is_refused_everywhere(channel, why=why)
        brokers.failures = {}
        await passing(clock, lambda: has_snapshot(channel))
        await passing(clock, lambda: is_quoted_by(channel, "zerodha"))


async def test_a_refusal_is_not_asked_for_again_at_once(
    settings: Settings, brokers: FakeBrokers, address: str, *, clock: ManualClock, tmp_path: Path
) -> None:
    brokers.failures = {ZERODHA: SessionInactive("none"), ICICI: SessionInactive("none")}
    async with serve(brokers, address, tmp_path), build(settings, clock):
        # The first snapshot asks Zerodha for the indices and for the heatmap, and ICICI for the indices alone.
        assert sorted(broker for broker, _ in brokers.asked) == [ZERODHA, ZERODHA, ICICI]


async def test_the_second_broker_stands_in_for_what_it_is_asked_and_not_for_the_heatmap(
    settings: Settings, brokers: FakeBrokers, address: str, *, clock: ManualClock, tmp_path: Path
) -> None:
    brokers.failures = {ZERODHA: BudgetSpent("none")}
    async with (
        serve(brokers, address, tmp_path),
        build(settings, clock),
        grpc.aio.insecure_channel(settings.market_address) as channel,
    ):
        quote = (await quotes(channel, "TCS")).quotes[0]
        assert (quote.last_price, quote.provenance.source) == (102.0, "icici")
        shown = await snapshot(channel)
        assert (shown.nifty.price, shown.nifty.provenance.source) == (102.0, "icici")
        assert not shown.sectors
        assert max(len(instruments) for broker, instruments in brokers.asked if broker == ICICI) == 3


async def test_between_sessions_the_last_prices_are_closed(settings: Settings, address: str, tmp_path: Path) -> None:
    clock = ManualClock(EVENING)
    brokers = FakeBrokers(clock)
    brokers.as_of = NOON
    async with (
        serve(brokers, address, tmp_path),
        build(settings, clock),
        grpc.aio.insecure_channel(settings.market_address) as channel,
    ):
        answer = await quotes(channel, "TCS")
        assert answer.quotes[0].provenance.freshness == quotes_pb2.FRESHNESS_CLOSED
        assert answer.quotes[0].provenance.as_of.ToDatetime(tzinfo=UTC) == NOON
        shown = await snapshot(channel)
        assert not shown.market.is_open
        assert shown.provenance.freshness == quotes_pb2.FRESHNESS_CLOSED


def ticks(source: str, price: float, at: datetime) -> bytes:
    batch = ticks_pb2.TickBatch(source=source, freshness=quotes_pb2.FRESHNESS_LIVE)
    batch.base_time.FromDatetime(at)
    for instrument in ("NSE:TCS", "INDEX:NIFTY50"):
        batch.ticks.add(instrument=instrument, last_price=price, previous_close=100.0)
    return batch.SerializeToString()


async def test_ticks_of_the_brokers_feed_are_in_quotes_and_snapshot(
    settings: Settings,
    brokers: FakeBrokers,
    address: str,
    clock: ManualClock,
    *,
    tmp_path: Path,
) -> None:
    async with (
        serve(brokers, address, tmp_path),
        build(settings, clock),
        grpc.aio.insecure_channel(settings.market_address) as channel,
    ):
        await quotes(channel, "TCS")
        client = Client()
        await client.connect(settings.nats_url.get_secret_value())
        for payload in (
            b"\xff",
            ticks("sample", 1.0, NOON + timedelta(seconds=2)),
            ticks("zerodha", 110.0, NOON + timedelta(seconds=1)),
            ticks("zerodha", 90.0, NOON),
        ):
            await client.publish("ticks.3", payload)
        await client.flush()

        async def is_in_it() -> bool:
            return (await quotes(channel, "TCS")).quotes[0].last_price == 110.0

        async with asyncio.timeout(WAIT_SECONDS):
            while not await is_in_it():
                await asyncio.sleep(0.02)
        await client.close()
        await clock.advance(1.0)
        quote = (await quotes(channel, "TCS")).quotes[0]
        assert (quote.last_price, quote.high, quote.change_percent) == (110.0, 110.0, 10.0)
        assert quote.provenance.source == "zerodha"
        assert quote.provenance.freshness == quotes_pb2.FRESHNESS_LIVE
        assert quote.provenance.as_of.ToDatetime(tzinfo=UTC) == NOON + timedelta(seconds=1)
        assert (await snapshot(channel)).nifty.price == 110.0


async def test_icici_alone_has_no_heatmap_and_no_feed_to_watch(
    settings: Settings, brokers: FakeBrokers, address: str, *, clock: ManualClock, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"market_providers": ("icici",)})
    async with (
        serve(brokers, address, tmp_path),
        build(settings, clock),
        grpc.aio.insecure_channel(settings.market_address) as channel,
    ):
        shown = await snapshot(channel)
        assert (shown.nifty.price, len(shown.sectors)) == (102.0, 0)
        assert (await quotes(channel, "TCS")).quotes[0].provenance.source == "icici"
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await status(channel, "feed")
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND
        assert await status(channel, "") == SERVING
