"""Ticks made of a vendor's quotes: market on a real NATS, with a stand-in for the vendor, on a clock moved by hand."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import SecretStr

from bourse.market.v1 import quotes_pb2, ticks_pb2
from chassis.clock import ManualClock
from chassis.testing import NatsServer, free_port
from market.app import build
from market.settings import Settings
from upstreams import fmp_faults
from upstreams.faults import EVERY_PATH
from upstreams.fmp import RunningFmp, fmp_server

NOW = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)  # a Friday: Mumbai and currencies trade, New York does not
KEY = "loopback-key-for-the-polls"
WAIT_SECONDS = 30
STEP_SECONDS = 5.0
LIVE, DELAYED = quotes_pb2.FRESHNESS_LIVE, quotes_pb2.FRESHNESS_DELAYED
PAIRS = {"FX:EURUSD", "FX:USDINR"}
INDIA = {"NSE:TCS", "NSE:RELIANCE", "BSE:HDFCBANK", "INDEX:NIFTY50"}

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Heard:
    """Every batch that came over NATS."""

    def __init__(self) -> None:
        self.batches: list[ticks_pb2.TickBatch] = []

    async def hear(self, message: Msg) -> None:
        self.batches.append(ticks_pb2.TickBatch.FromString(message.data))

    def instruments(self, freshness: "quotes_pb2.Freshness.ValueType | None" = None) -> set[str]:
        wanted = [batch for batch in self.batches if freshness in (None, batch.freshness)]
        return {tick.instrument for batch in wanted for tick in batch.ticks}

    def times_of(self, instrument: str) -> list[datetime]:
        return [
            batch.base_time.ToDatetime(tzinfo=UTC) + timedelta(microseconds=tick.offset_microseconds)
            for batch in self.batches
            for tick in batch.ticks
            if tick.instrument == instrument
        ]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def fmp(clock: ManualClock) -> Iterator[RunningFmp]:
    with fmp_server(key=KEY, now=clock.now) as running:
        yield running


@pytest.fixture
def settings(nats: NatsServer, database_url: str, tmp_path: Path, fmp: RunningFmp) -> Settings:
    return Settings(
        run_dir=tmp_path,
        nats_url=SecretStr(nats.url),
        market_address=f"127.0.0.1:{free_port()}",
        brokers_address=f"127.0.0.1:{free_port()}",
        market_database_url=SecretStr(database_url),
        market_providers=("fmp",),
        market_publisher_id="market-7",
        fmp_api_key=SecretStr(KEY),
        fmp_base_url=fmp.url,
        fmp_budget="300/minute",
    )


@pytest.fixture
async def heard(nats: NatsServer) -> AsyncIterator[Heard]:
    heard, client = Heard(), Client()
    await client.connect(nats.url)
    await client.subscribe("ticks.>", cb=heard.hear)
    await client.flush()
    yield heard
    await client.close()


@asynccontextmanager
async def served(settings: Settings, clock: ManualClock) -> AsyncIterator[health_pb2_grpc.HealthStub]:
    async with build(settings, clock), grpc.aio.insecure_channel(settings.market_address) as channel:
        yield health_pb2_grpc.HealthStub(channel)


async def holds(health: health_pb2_grpc.HealthStub, check: str) -> bool:
    answer: health_pb2.HealthCheckResponse = await health.Check(health_pb2.HealthCheckRequest(service=check))
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def pass_by(clock: ManualClock, condition: Callable[[], bool]) -> None:
    """Let time pass until something has happened; servers answer in their own time."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():
            await clock.advance(STEP_SECONDS)
            await asyncio.sleep(0.02)


async def test_what_a_vendor_says_is_published_while_its_venues_trade(
    settings: Settings, clock: ManualClock, heard: Heard
) -> None:
    async with served(settings, clock) as health:
        await pass_by(clock, lambda: len(heard.times_of("NSE:TCS")) == 3)
        assert await holds(health, "feed")
    assert (heard.instruments(LIVE), heard.instruments(DELAYED)) == (PAIRS, INDIA)
    assert {(batch.source, batch.publisher_id, batch.freshness) for batch in heard.batches} == {
        ("fmp", "market-7.fmp.live", LIVE),
        ("fmp", "market-7.fmp.delayed", DELAYED),
    }
    times = heard.times_of("NSE:TCS")
    assert times[0] >= NOW
    assert min(later - earlier for earlier, later in pairwise(times)) >= timedelta(seconds=30)
    for shard in {(batch.publisher_id, batch.shard) for batch in heard.batches}:
        sequences = [each.sequence for each in heard.batches if (each.publisher_id, each.shard) == shard]
        # The first is left out: nobody knows what the process before this one lost.
        assert sequences == list(range(2, len(sequences) + 2))


async def test_what_zerodha_has_ticks_of_is_left_to_its_ticker(
    settings: Settings, clock: ManualClock, heard: Heard
) -> None:
    settings = settings.model_copy(update={"market_providers": ("zerodha", "fmp")})
    async with served(settings, clock):
        await pass_by(clock, lambda: len(heard.times_of("FX:EURUSD")) == 2)
    assert heard.instruments() == PAIRS


async def test_a_vendor_that_refuses_makes_the_feed_unwell_and_nothing_else(
    settings: Settings, clock: ManualClock, heard: Heard, fmp: RunningFmp
) -> None:
    fmp.faults.always(EVERY_PATH, fmp_faults.throttled())
    async with served(settings, clock) as health:
        await clock.advance(95)
        async with asyncio.timeout(WAIT_SECONDS):
            while await holds(health, "feed"):  # checks are made at their own pace
                await asyncio.sleep(0.02)
        assert await holds(health, "")
    assert heard.batches == []


async def test_nobody_is_polled_where_polls_are_switched_off(
    settings: Settings, clock: ManualClock, heard: Heard
) -> None:
    async with served(settings.model_copy(update={"market_poll_seconds": 0.0}), clock) as health:
        await clock.advance(90)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await holds(health, "feed")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert heard.batches == []
