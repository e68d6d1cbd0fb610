"""Portfolio's composition root: what is opened, in which order, and what health is made of."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from random import SystemRandom
from secrets import token_hex

import grpc
from bourse.auth.v1.contacts_pb2_grpc import ContactServiceStub
from bourse.market.v1.calendars_pb2_grpc import CalendarServiceStub
from bourse.market.v1.corporate_actions_pb2_grpc import CorporateActionServiceStub
from bourse.market.v1.history_pb2_grpc import HistoryServiceStub
from bourse.market.v1.instruments_pb2_grpc import InstrumentServiceStub
from bourse.market.v1.quotes_pb2_grpc import QuoteServiceStub
from bourse.portfolio.v1.holdings_pb2_grpc import add_HoldingServiceServicer_to_server
from bourse.portfolio.v1.manual_portfolios_pb2_grpc import add_ManualPortfolioServiceServicer_to_server
from bourse.portfolio.v1.pnl_pb2_grpc import add_PnlServiceServicer_to_server
from bourse.portfolio.v1.positions_pb2_grpc import add_PositionServiceServicer_to_server
from bourse.portfolio.v1.summaries_pb2_grpc import add_SummaryServiceServicer_to_server
from bourse.portfolio.v1.syncs_pb2_grpc import add_SyncedPortfolioServiceServicer_to_server
from bourse.portfolio.v1.watchlists_pb2_grpc import add_WatchlistServiceServicer_to_server

from bourse.auth.v1 import contacts_pb2
from bourse.market.v1 import calendars_pb2, corporate_actions_pb2, history_pb2, instruments_pb2, quotes_pb2
from chassis.bus import EVENTS, Bus
from chassis.clock import Clock, SystemClock
from chassis.database import Database, ensure_schema
from chassis.health import Health
from chassis.outbox import OutboxRelay
from chassis.rpc_client import open_channel
from chassis.rpc_server import Register, serving
from chassis.tasks import running
from mail.mailers import make_mailer
from portfolio.domain.accounts import Accounts
from portfolio.domain.bookkeeping import ManualPortfolioDesk
from portfolio.domain.instruments import RememberedInstruments
from portfolio.domain.market import Market, RememberedQuotes, RememberedSplits
from portfolio.domain.nightly import NightlySnapshots
from portfolio.domain.past_prices import PastPrices
from portfolio.domain.portfolios import Portfolios
from portfolio.domain.summary_reading import SummaryReader
from portfolio.domain.summary_sending import SummaryDesk
from portfolio.domain.syncing import SyncDesk
from portfolio.domain.ticker_prices import TickerPrices
from portfolio.domain.watching import WatchlistDesk
from portfolio.feed.deletions import read_deletions
from portfolio.figures import telling
from portfolio.handlers.holdings import HoldingService
from portfolio.handlers.manual_portfolios import ManualPortfolioService
from portfolio.handlers.pnl import PnlService
from portfolio.handlers.positions import PositionService
from portfolio.handlers.summaries import SummaryService
from portfolio.handlers.syncs import SyncedPortfolioService
from portfolio.handlers.watchlists import WatchlistService
from portfolio.messages.summary_letters import SummaryLetters
from portfolio.messages.synced import synced_event
from portfolio.providers.contacts import AuthContacts
from portfolio.providers.instruments import MarketInstruments
from portfolio.providers.past_closes import MarketCloses
from portfolio.providers.quotes import MarketQuotes
from portfolio.providers.sessions import MarketSessions
from portfolio.providers.splits import MarketSplits
from portfolio.providers.ticker_prices import MarketTickerPrices
from portfolio.settings import Settings
from portfolio.storage.accounts import StoredAccounts
from portfolio.storage.manual_portfolios import StoredManualPortfolios
from portfolio.storage.snapshots import SnapshotsOfSessions
from portfolio.storage.summary_letters import StoredSummaryLetters
from portfolio.storage.synced_rows import SyncedPortfolios
from portfolio.storage.tables import OUTBOX
from portfolio.storage.watchlists import StoredWatchlists

# What a summary takes beside the mail server's time.
GATHERING_SECONDS = 10.0

_MARKET_CONTRACTS = (
    quotes_pb2.DESCRIPTOR,
    corporate_actions_pb2.DESCRIPTOR,
    calendars_pb2.DESCRIPTOR,
    instruments_pb2.DESCRIPTOR,
    history_pb2.DESCRIPTOR,
)


@dataclass(frozen=True, slots=True)
class _MarketSide:
    """The way to market and what is asked over it."""

    channel: grpc.aio.Channel
    market: Market
    sessions: MarketSessions
    instruments: RememberedInstruments
    prices: TickerPrices
    own_quotes: RememberedQuotes
    past: PastPrices


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
        deletions = read_deletions(bus, Accounts(StoredAccounts(database), clock))
        health.add("deletions", deletions.is_following, critical=False)
        auth = await enter(_open(settings.auth_address, settings))
        health.add("auth", partial(_is_connected, auth), critical=False)
        summaries = await enter(_summaries(settings, side, database=database, auth=auth, clock=clock))
        registrations: list[Register] = [
            partial(add_SyncedPortfolioServiceServicer_to_server, SyncedPortfolioService(desk)),
            partial(add_HoldingServiceServicer_to_server, HoldingService(portfolios)),
            partial(add_PositionServiceServicer_to_server, PositionService(portfolios)),
            partial(add_PnlServiceServicer_to_server, PnlService(portfolios)),
            partial(add_SummaryServiceServicer_to_server, SummaryService(summaries, settings.mail_from)),
            *_own_data(database, side, clock),
        ]
        stack.enter_context(telling(nightly=nightly, summaries=summaries))
        await enter(running(nightly.run(), deletions.run(), summaries.run_sweep()))
        await enter(serving(settings.portfolio_address, registrations, health=health, settings=_patient(settings)))
        yield


def _patient(settings: Settings) -> Settings:
    """Let calls last as long as a summary may; callers of the others set earlier deadlines of their own."""
    longest = max(settings.rpc_deadline_seconds * 2, GATHERING_SECONDS + settings.mail_timeout_seconds)
    return settings.model_copy(update={"rpc_deadline_seconds": longest / 2})


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
    own_quotes = RememberedQuotes(MarketQuotes(QuoteServiceStub(channel), currency=None), clock)
    splits = RememberedSplits(MarketSplits(CorporateActionServiceStub(channel)), clock)
    try:
        yield _MarketSide(
            channel=channel,
            market=Market(quotes, splits),
            sessions=MarketSessions(CalendarServiceStub(channel)),
            instruments=RememberedInstruments(MarketInstruments(InstrumentServiceStub(channel)), clock),
            prices=TickerPrices(MarketTickerPrices(QuoteServiceStub(channel))),
            own_quotes=own_quotes,
            past=PastPrices(MarketCloses(HistoryServiceStub(channel))),
        )
    finally:
        await quotes.finish()
        await own_quotes.finish()
        await channel.close()


def _own_data(database: Database, side: _MarketSide, clock: Clock) -> Sequence[Register]:
    """Return the services of what users make themselves."""
    watching = WatchlistDesk(StoredWatchlists(database), side.instruments, side.prices, clock=clock)
    bookkeeping = ManualPortfolioDesk(StoredManualPortfolios(database), side.instruments, clock=clock)
    return [
        partial(add_WatchlistServiceServicer_to_server, WatchlistService(watching)),
        partial(add_ManualPortfolioServiceServicer_to_server, ManualPortfolioService(bookkeeping)),
    ]


@asynccontextmanager
async def _open(address: str, settings: Settings) -> AsyncIterator[grpc.aio.Channel]:
    channel = open_channel(address, (contacts_pb2.DESCRIPTOR,), settings=settings)
    try:
        yield channel
    finally:
        await channel.close()


@asynccontextmanager
async def _summaries(
    settings: Settings, side: _MarketSide, *, database: Database, auth: grpc.aio.Channel, clock: Clock
) -> AsyncIterator[SummaryDesk]:
    reader = SummaryReader(
        SyncedPortfolios(database, synced_event),
        StoredManualPortfolios(database),
        market=side.market,
        quotes=side.own_quotes,
        past=side.past,
        clock=clock,
    )
    desk = SummaryDesk(
        AuthContacts(ContactServiceStub(auth)),
        StoredSummaryLetters(database),
        reader=reader,
        writer=SummaryLetters(settings.public_url),
        post=make_mailer(settings),
        clock=clock,
        random=partial(token_hex, 8),
        verified_only=settings.mail_verified_only,
    )
    try:
        yield desk
    finally:
        await desk.finish(settings.shutdown_grace_seconds)


async def _is_connected(channel: grpc.aio.Channel) -> bool:
    return channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY
