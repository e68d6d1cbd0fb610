"""Market's composition root: what is opened, in which order, and what health is made of."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from bourse.market.v1.after_market_pb2_grpc import add_AfterMarketServiceServicer_to_server
from bourse.market.v1.calendars_pb2_grpc import add_CalendarServiceServicer_to_server
from bourse.market.v1.companies_pb2_grpc import add_CompanyServiceServicer_to_server
from bourse.market.v1.corporate_actions_pb2_grpc import add_CorporateActionServiceServicer_to_server
from bourse.market.v1.earnings_pb2_grpc import add_EarningsServiceServicer_to_server
from bourse.market.v1.exchanges_pb2_grpc import add_ExchangeServiceServicer_to_server
from bourse.market.v1.history_pb2_grpc import add_HistoryServiceServicer_to_server
from bourse.market.v1.indices_pb2_grpc import add_IndexServiceServicer_to_server
from bourse.market.v1.instruments_pb2_grpc import add_InstrumentServiceServicer_to_server
from bourse.market.v1.news_pb2_grpc import add_NewsServiceServicer_to_server
from bourse.market.v1.quotes_pb2_grpc import add_QuoteServiceServicer_to_server
from bourse.market.v1.snapshot_pb2_grpc import add_SnapshotServiceServicer_to_server
from bourse.market.v1.treasury_pb2_grpc import add_TreasuryServiceServicer_to_server

from chassis.clock import Clock, SystemClock
from chassis.database import Database, ensure_schema
from chassis.health import Health
from chassis.rpc_server import Register, serving
from chassis.tasks import running
from market.domain.after_market_desk import AfterMarketDesk
from market.domain.aliases import InstrumentNames
from market.domain.company_desk import CompanyDesk
from market.domain.daily_library import DailyLibrary
from market.domain.detailed_quotes import DetailedQuotes
from market.domain.earnings_desk import EarningsDesk
from market.domain.exchange_desk import ExchangeDesk
from market.domain.history_desk import HistoryDesk
from market.domain.index_desk import IndexDesk
from market.domain.news_desk import NewsDesk
from market.domain.quote_board import QuoteBoard
from market.domain.snapshot_desk import SnapshotDesk
from market.domain.treasury_desk import TreasuryDesk
from market.figures import telling_of_snapshot
from market.handlers.after_market import AfterMarketService
from market.handlers.calendars import CalendarService
from market.handlers.companies import CompanyService
from market.handlers.corporate_actions import CorporateActionService
from market.handlers.earnings import EarningsService
from market.handlers.exchanges import ExchangeService
from market.handlers.history import HistoryService
from market.handlers.indices import IndexService
from market.handlers.instruments import InstrumentService
from market.handlers.news import NewsService
from market.handlers.quotes import QuoteService
from market.handlers.snapshot import SnapshotService
from market.handlers.treasury import TreasuryService
from market.providers.calendars.world import WorldCalendars
from market.settings import Settings
from market.sources import Prices, open_prices
from market.storage.daily_bars import DailyBarStore
from market.world import World, open_world

SNAPSHOT_WARMER = "warmer:index:snapshot"
FIRST_SNAPSHOT_SECONDS = 10.0
WARM_CALENDARS_AFTER_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class _Desks:
    """What answers, behind the handlers."""

    snapshot: SnapshotDesk
    board: QuoteBoard
    history: HistoryDesk
    exchanges: ExchangeDesk


@asynccontextmanager
async def build(settings: Settings, clock: Clock | None = None) -> AsyncIterator[None]:
    """Open market and serve until the block is left; then close in reverse order.

    It serves once the first snapshot is made, or no source answers, or after ten seconds.

    Raises:
        DatabaseUnavailable: the database did not answer at start.
        SchemaBehind: the schema is old and migrating at start is switched off.
        SplitsFileUnreadable, SplitsFileInvalid: the file of splits cannot be used.
        ReplayFileUnreadable, ReplayFileInvalid: the file to replay cannot be used.
        KeyUnusable: the key of a vendor cannot be one.
        OrderInvalid: an order names a source that cannot answer that kind of question.
        AddressInUse: the address to listen on is taken.
    """
    health = Health()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        world = await open_world(settings, clock or SystemClock(), stack)
        prices = await enter(open_prices(world))
        desks = await _open_desks(world, prices, stack)
        await desks.snapshot.wait_until_warm(FIRST_SNAPSHOT_SECONDS)
        # Prices and most answers do without it, and every replica would be taken out of service at once.
        health.add("database", world.database.is_answering, critical=False)
        if prices.feed is not None:
            health.add("feed", prices.feed, critical=prices.is_feed_ours)
        health.add("nats", world.bus.is_answering, critical=False)
        if settings.redis_url is not None:
            health.add("cache", world.cache.is_answering, critical=False)
        health.add(SNAPSHOT_WARMER, desks.snapshot.is_warm, critical=False)
        services = [*_price_services(world, prices, desks), *_answer_services(world, prices, desks)]
        await enter(serving(settings.market_address, services, health=health, settings=settings))
        yield


async def _open_desks(world: World, prices: Prices, stack: AsyncExitStack) -> _Desks:
    snapshot = SnapshotDesk(
        prices.directory,
        prices.quotes,
        last_prices=prices.last_prices,
        signals=prices.signals,
        calendar=world.calendar,
        clock=world.clock,
        quote_seconds=prices.quote_seconds,
        leadership=world.leadership,
        shared=prices.shared_snapshot,
    )
    stack.enter_context(telling_of_snapshot(snapshot))
    library = DailyLibrary(
        prices.answers,
        prices.histories,
        store=DailyBarStore(world.database),
        calendar=world.calendar,
        clock=world.clock,
    )
    stack.push_async_callback(library.close)
    calendars = WorldCalendars(world.calendar, world.clock)
    await stack.enter_async_context(running(_warm(calendars, world)))
    exchanges = ExchangeDesk(world.tables.exchanges, prices.directory, calendars=calendars, clock=world.clock)
    stack.push_async_callback(exchanges.close)
    return _Desks(
        snapshot=await stack.enter_async_context(snapshot.running()),
        board=QuoteBoard(prices.directory, prices.quotes, prices.last_prices),
        history=HistoryDesk(prices.directory, prices.answers, library),
        exchanges=exchanges,
    )


async def _warm(calendars: WorldCalendars, world: World) -> None:
    """Read all exchanges' calendars once the start is over, which takes some seconds of a processor."""
    await world.clock.sleep(WARM_CALENDARS_AFTER_SECONDS)
    await calendars.warm(world.tables.exchanges.exchanges)


def _price_services(world: World, prices: Prices, desks: _Desks) -> list[Register]:
    """Return what answers with prices, and with facts that no source has to be asked for."""
    names = InstrumentNames(prices.directory, world.tables.identifiers)
    indices = IndexDesk(
        world.tables.constituents, prices.directory, sources=prices.quotes, last_prices=prices.last_prices
    )
    detailed = DetailedQuotes(prices.directory, desks.board, prices.answers, desks.history)
    providers = world.settings.market_providers
    return [
        partial(add_QuoteServiceServicer_to_server, QuoteService(desks.board, detailed)),
        partial(add_InstrumentServiceServicer_to_server, InstrumentService(prices.directory, providers, names)),
        partial(add_SnapshotServiceServicer_to_server, SnapshotService(desks.snapshot)),
        partial(add_CalendarServiceServicer_to_server, CalendarService(world.calendar)),
        partial(add_CorporateActionServiceServicer_to_server, CorporateActionService(world.splits)),
        partial(add_ExchangeServiceServicer_to_server, ExchangeService(desks.exchanges, names)),
        partial(add_IndexServiceServicer_to_server, IndexService(indices)),
    ]


def _answer_services(world: World, prices: Prices, desks: _Desks) -> list[Register]:
    """Return what answers from the sources, by capability."""
    directory, answers, clock = prices.directory, prices.answers, world.clock
    after_market = AfterMarketDesk(directory, answers)
    earnings = EarningsDesk(directory, answers, clock)
    companies = CompanyDesk(directory, answers, desks.board)
    return [
        partial(add_HistoryServiceServicer_to_server, HistoryService(desks.history, clock)),
        partial(add_CompanyServiceServicer_to_server, CompanyService(companies, clock)),
        partial(add_AfterMarketServiceServicer_to_server, AfterMarketService(after_market, clock)),
        partial(add_EarningsServiceServicer_to_server, EarningsService(earnings, clock)),
        partial(add_NewsServiceServicer_to_server, NewsService(NewsDesk(directory, answers), clock)),
        partial(add_TreasuryServiceServicer_to_server, TreasuryService(TreasuryDesk(answers, clock), clock)),
    ]


async def migrate(settings: Settings) -> None:
    """Bring the database's schema up to date.

    Raises:
        DatabaseUnavailable: the database did not answer.
    """
    async with Database.open(settings.database_url) as database:
        await ensure_schema(database, "market")
