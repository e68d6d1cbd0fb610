"""The process of brokers as it is run: a session is opened, and Zerodha's prices are on NATS until the token dies."""

import asyncio
import os
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import grpc
import pytest
from bourse.brokers.v1.sessions_pb2_grpc import SessionServiceStub
from bourse.market.v1.calendars_pb2_grpc import CalendarServiceServicer, add_CalendarServiceServicer_to_server
from bourse.market.v1.instruments_pb2_grpc import InstrumentServiceServicer, add_InstrumentServiceServicer_to_server
from grpc_health.v1 import health_pb2, health_pb2_grpc
from nats.aio.client import Client
from nats.aio.msg import Msg

from bourse.brokers.v1 import brokers_pb2, sessions_pb2
from bourse.market.v1 import calendars_pb2, instruments_pb2, quotes_pb2, ticks_pb2
from chassis.health import Health
from chassis.rpc_server import serving
from chassis.settings import ProcessSettings
from chassis.testing import NatsServer, free_port, python_module, stop_process
from upstreams.instruments import BY_KEY
from upstreams.kite_accounts import KiteAccount
from upstreams.kite_frames import Mode, Tick
from upstreams.kite_ticker import KiteTickerServer, kite_ticker_server
from upstreams.servers import kite_server

WAIT_SECONDS = 60
STALE_SECONDS = 1
TCS, NIFTY = BY_KEY["NSE:TCS"].token, BY_KEY["NSE:NIFTY 50"].token
SUBSCRIBED = {TCS: Mode.FULL, NIFTY: Mode.FULL}


class SmallMarket(InstrumentServiceServicer, CalendarServiceServicer):
    """Lists two instruments, and a market that is open today."""

    async def ListInstruments(
        self, request: instruments_pb2.ListInstrumentsRequest, context: object
    ) -> instruments_pb2.ListInstrumentsResponse:
        listed = [("INDEX", "NIFTY50"), ("NSE", "TCS")]
        return instruments_pb2.ListInstrumentsResponse(
            instruments=[
                instruments_pb2.Instrument(id=f"{exchange}:{symbol}", exchange=exchange, symbol=symbol, currency="INR")
                for exchange, symbol in listed
            ],
            sources=["zerodha"],
        )

    async def ResolveInstrument(
        self, request: instruments_pb2.ResolveInstrumentRequest, context: object
    ) -> instruments_pb2.ResolveInstrumentResponse:
        raise AssertionError

    async def ListSessions(
        self, request: calendars_pb2.ListSessionsRequest, context: object
    ) -> calendars_pb2.ListSessionsResponse:
        now = datetime.now(UTC)
        session = calendars_pb2.TradingSession(date=now.date().isoformat())
        session.opens_at.FromDatetime(now - timedelta(hours=1))
        session.closes_at.FromDatetime(now + timedelta(hours=1))
        return calendars_pb2.ListSessionsResponse(
            sessions=[session], known_from=request.from_date, known_through=request.to_date
        )


@dataclass(frozen=True)
class Scene:
    """Brokers, running at DEBUG, and what it stands between."""

    account: KiteAccount
    ticker: KiteTickerServer
    channel: grpc.aio.Channel
    arrivals: list[ticks_pb2.TickBatch]
    admin_secret: str
    log: Path

    async def activate(self) -> None:
        request = sessions_pb2.ActivateZerodhaRequest(
            api_key=self.account.api_key,
            api_secret=self.account.api_secret,
            request_token=self.account.new_request_token(),
            secret=self.admin_secret,
        )
        await SessionServiceStub(self.channel).ActivateZerodha(request, timeout=WAIT_SECONDS, wait_for_ready=True)

    async def status(self) -> sessions_pb2.SessionStatus:
        request = sessions_pb2.GetSessionStatusRequest(broker=brokers_pb2.BROKER_ZERODHA)
        answer = await SessionServiceStub(self.channel).GetSessionStatus(request, timeout=WAIT_SECONDS)
        status: sessions_pb2.SessionStatus = answer.status
        return status

    async def feed_becomes(self, state: "sessions_pb2.FeedState.ValueType") -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while (await self.status()).feed != state:
                await asyncio.sleep(0.05)

    async def health_becomes(self, *, name: str, is_serving: bool) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while (await self._serves(name)) is not is_serving:
                await asyncio.sleep(0.05)

    async def _serves(self, name: str) -> bool:
        request = health_pb2.HealthCheckRequest(service=name)
        answer = await health_pb2_grpc.HealthStub(self.channel).Check(request, timeout=WAIT_SECONDS)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@asynccontextmanager
async def market(address: str) -> AsyncIterator[None]:
    services = [
        partial(add_InstrumentServiceServicer_to_server, SmallMarket()),  # type: ignore[abstract]  # what it isn't asked it doesn't answer
        partial(add_CalendarServiceServicer_to_server, SmallMarket()),  # type: ignore[abstract]  # what it isn't asked it doesn't answer
    ]
    settings = ProcessSettings(shutdown_grace_seconds=0)
    async with serving(address, services, health=Health(), settings=settings):
        yield


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[list[ticks_pb2.TickBatch]]:
    seen: list[ticks_pb2.TickBatch] = []

    async def see(message: Msg) -> None:
        seen.append(ticks_pb2.TickBatch.FromString(message.data))

    client = Client()
    await client.connect(url)
    await client.subscribe("ticks.>", cb=see)
    await client.flush()
    try:
        yield seen
    finally:
        await client.close()


@contextmanager
def brokers(environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(python_module("brokers"), env={**os.environ, **environment}, stderr=output)
    try:
        yield
    finally:
        stop_process(process)


@pytest.fixture
async def scene(nats: NatsServer, tmp_path: Path) -> AsyncIterator[Scene]:
    account, admin_secret = KiteAccount(), secrets.token_hex(16)
    address, market_address = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    log = tmp_path / "brokers.log"
    async with AsyncExitStack() as stack:
        kite = stack.enter_context(kite_server(account))
        ticker = stack.enter_context(kite_ticker_server(kite.accounts))
        await stack.enter_async_context(market(market_address))
        environment = {
            "RUN_DIR": str(tmp_path),
            "LOG_LEVEL": "DEBUG",
            "NATS_URL": nats.url,
            "BROKERS_ADDRESS": address,
            "MARKET_ADDRESS": market_address,
            "KITE_ROOT_URL": kite.url,
            "KITE_TICKER_URL": ticker.url,
            "KITE_TICKER_STALE_SECONDS": str(STALE_SECONDS),
            "ZERODHA_ADMIN_SECRET": admin_secret,
        }
        stack.enter_context(brokers(environment, log))
        arrivals = await stack.enter_async_context(listening(nats.url))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        yield Scene(account, ticker, channel, arrivals, admin_secret, log)


async def test_an_activated_session_feeds_prices_to_nats_until_its_token_dies(scene: Scene) -> None:
    await scene.activate()
    await asyncio.to_thread(scene.ticker.wait_for_subscriptions, SUBSCRIBED, WAIT_SECONDS)
    second = int(datetime.now(UTC).timestamp())
    for step in range(20):
        ticks = [
            Tick(TCS, 3842.5 + step, close=3800, volume=step, exchange_timestamp=second),
            Tick(NIFTY, 24_000.5 + step, close=23_900, exchange_timestamp=second),
        ]
        await asyncio.to_thread(scene.ticker.send_ticks, ticks)
    async with asyncio.timeout(WAIT_SECONDS):
        while sum(len(batch.ticks) for batch in scene.arrivals) < 40:
            await asyncio.sleep(0.01)
    for instrument, first in (("NSE:TCS", 3842.5), ("INDEX:NIFTY50", 24_000.5)):
        prices = [tick.last_price for batch in scene.arrivals for tick in batch.ticks if tick.instrument == instrument]
        assert prices == [first + step for step in range(20)]
    assert {(each.source, each.publisher_id, each.freshness) for each in scene.arrivals} == {
        ("zerodha", "brokers", quotes_pb2.FRESHNESS_LIVE)
    }
    # Heartbeats go on, prices do not.
    await scene.feed_becomes(sessions_pb2.FEED_STATE_STALE)
    await scene.health_becomes(name="kite_feed", is_serving=False)
    await scene.health_becomes(name="", is_serving=True)
    await asyncio.to_thread(scene.ticker.send_ticks, [Tick(TCS, 3900.0)])
    await scene.feed_becomes(sessions_pb2.FEED_STATE_LIVE)
    (token,) = scene.account.access_tokens
    scene.account.expire_tokens()
    await asyncio.to_thread(scene.ticker.drop)
    await scene.feed_becomes(sessions_pb2.FEED_STATE_OFF)
    assert not (await scene.status()).valid
    log = scene.log.read_text()
    assert "kite link connected" in log
    assert token not in log
    assert scene.account.api_key not in log
