"""Portfolio's composition root: what is opened, in which order, and what health is made of."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from random import SystemRandom

import grpc
from bourse.market.v1.calendars_pb2_grpc import CalendarServiceStub
from bourse.market.v1.corporate_actions_pb2_grpc import CorporateActionServiceStub
from bourse.market.v1.quotes_pb2_grpc import QuoteServiceStub
from bourse.portfolio.v1.holdings_pb2_grpc import add_HoldingServiceServicer_to_server
from bourse.portfolio.v1.pnl_pb2_grpc import add_PnlServiceServicer_to_server
from bourse.portfolio.v1.positions_pb2_grpc import add_PositionServiceServicer_to_server
from bourse.portfolio.v1.syncs_pb2_grpc import add_SyncedPortfolioServiceServicer_to_server

from bourse.market.v1 import calendars_pb2, corporate_actions_pb2, quotes_pb2
from chassis.bus import EVENTS, Bus
from chassis.clock import Clock, SystemClock
from chassis.database import Database, ensure_schema
from chassis.health import Health
from chassis.outbox import OutboxRelay
from chassis.rpc_client import open_channel
from chassis.rpc_server import serving
from chassis.tasks import running
from portfolio.domain.market import Market, RememberedQuotes, RememberedSplits
from portfolio.domain.nightly import NightlySnapshots
from portfolio.domain.portfolios import Portfolios
from portfolio.domain.syncing import SyncDesk
from portfolio.handlers.holdings import HoldingService
from portfolio.handlers.pnl import PnlService
from portfolio.handlers.positions import PositionService
from portfolio.handlers.syncs import SyncedPortfolioService
from portfolio.messages.synced import synced_event
from portfolio.providers.quotes import MarketQuotes
from portfolio.providers.sessions import MarketSessions
from portfolio.providers.splits import MarketSplits
from portfolio.settings import Settings
from portfolio.storage.snapshots import SnapshotsOfSessions
from portfolio.storage.synced_rows import SyncedPortfolios
from portfolio.storage.tables import OUTBOX

_MARKET_CONTRACTS = (quotes_pb2.DESCRIPTOR, corporate_actions_pb2.DESCRIPTOR, calendars_pb2.DESCRIPTOR)


@dataclass(frozen=True, slots=True)
class _MarketSide:
    """The way to market and what is asked over it."""

    channel: grpc.aio.Channel
    market: Market
    sessions: MarketSessions


@asynccontextmanager
async def build(settings: Settings, clock: Clock | None = None) -> AsyncIterator[None]:
    """Open portfolio and serve until the block is left; then close in reverse order.

    Args:
        settings: what operators set.
        clock: tells the time; the machine's when None.

    Raises:
        DatabaseUnavailable: the database did not answer at start.
        SchemaBehind: the schema is old and migrating at start is switched off.
        AddressInUse: the address to listen on is taken.
    """
    clock = clock or SystemClock()
    health = Health()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        database = await enter(Database.open(settings.database_url))
        await ensure_schema(database, "portfolio", migrate=settings.portfolio_migrate_on_start)
        bus = await enter(Bus.open(settings, name="portfolio", streams=[EVENTS]))
        relay = await enter(OutboxRelay(database, OUTBOX, bus).running())
        side = await enter(_market_side(settings, clock))
        synced = SyncedPortfolios(database, synced_event)
        desk = SyncDesk(synced, clock=clock, on_replaced=relay.notify)
        portfolios = Portfolios(synced, side.market, clock)
        nightly = NightlySnapshots(
            synced,
            SnapshotsOfSessions(database),
            market=side.market,
            sessions=side.sessions,
            clock=clock,
            delay_seconds=settings.portfolio_snapshot_delay_seconds,
            random=SystemRandom().random,
        )
        health.add("database", database.is_answering)
        health.add("nats", bus.is_answering, critical=False)
        health.add("market", partial(_is_connected, side.channel), critical=False)
        registrations = [
            partial(add_SyncedPortfolioServiceServicer_to_server, SyncedPortfolioService(desk)),
            partial(add_HoldingServiceServicer_to_server, HoldingService(portfolios)),
            partial(add_PositionServiceServicer_to_server, PositionService(portfolios)),
            partial(add_PnlServiceServicer_to_server, PnlService(portfolios)),
        ]
        await enter(running(nightly.run()))
        await enter(serving(settings.portfolio_address, registrations, health=health, settings=settings))
        yield


async def migrate(settings: Settings) -> None:
    """Bring the database's schema up to date.

    Raises:
        DatabaseUnavailable: the database did not answer.
    """
    async with Database.open(settings.database_url) as database:
        await ensure_schema(database, "portfolio")


@asynccontextmanager
async def _market_side(settings: Settings, clock: Clock) -> AsyncIterator[_MarketSide]:
    channel = open_channel(settings.market_address, _MARKET_CONTRACTS, settings=settings)
    quotes = RememberedQuotes(MarketQuotes(QuoteServiceStub(channel)), clock)
    splits = RememberedSplits(MarketSplits(CorporateActionServiceStub(channel)), clock)
    try:
        yield _MarketSide(channel, Market(quotes, splits), MarketSessions(CalendarServiceStub(channel)))
    finally:
        await quotes.finish()
        await channel.close()


async def _is_connected(channel: grpc.aio.Channel) -> bool:
    return channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY
