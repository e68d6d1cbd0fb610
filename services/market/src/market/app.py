"""Market's composition root: what is opened, in which order, and what health is made of."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from bourse.brokers.v1.quotes_pb2_grpc import BrokerQuoteServiceStub
from bourse.market.v1.calendars_pb2_grpc import add_CalendarServiceServicer_to_server
from bourse.market.v1.corporate_actions_pb2_grpc import add_CorporateActionServiceServicer_to_server
from bourse.market.v1.instruments_pb2_grpc import add_InstrumentServiceServicer_to_server
from bourse.market.v1.quotes_pb2_grpc import add_QuoteServiceServicer_to_server
from bourse.market.v1.snapshot_pb2_grpc import add_SnapshotServiceServicer_to_server

from chassis.bus import EVENTS, TICKS, Bus
from chassis.clock import Clock, SystemClock
from chassis.database import Database, ensure_schema
from chassis.health import Check, Health
from chassis.rpc_client import open_channel
from chassis.rpc_server import Register, serving
from chassis.tasks import running
from market.domain.freshness import SessionFreshness, SimulatedFreshness
from market.domain.instruments import InstrumentDirectory
from market.domain.last_prices import LastPrices
from market.domain.pattern_statistics import configuration_key
from market.domain.ports import Calendar, CurrentSignals, SplitSource
from market.domain.quote_board import QuoteBoard
from market.domain.quote_sources import QuoteSources
from market.domain.reuse import Reuse
from market.domain.sessions import Venue
from market.domain.signal_book import NoSignals, SignalBook
from market.domain.snapshot_desk import SnapshotDesk
from market.feed.publisher import TickPublisher
from market.feed.replay_control import ReplayControl
from market.feed.tick_feed import TickFeed
from market.feed.tick_listener import TickListener
from market.handlers.calendars import CalendarService
from market.handlers.corporate_actions import CorporateActionService
from market.handlers.instruments import InstrumentService
from market.handlers.quotes import QuoteService
from market.handlers.snapshot import SnapshotService
from market.providers.brokers.source import REUSE_SECONDS, SOURCE_SECONDS, BrokerSource, covered_instruments
from market.providers.calendars.exchanges import load_calendar
from market.providers.reference.listing import read_listing
from market.providers.replay.parse import read_bars
from market.providers.replay.source import ReplaySource
from market.providers.sample.source import SampleSource
from market.providers.splits.file import KnownSplits, read_splits
from market.settings import Settings
from market.storage.pattern_statistics import PatternStatisticsStore

SNAPSHOT_WARMER = "warmer:index:snapshot"
FIRST_SNAPSHOT_SECONDS = 10.0
# Two calls to Zerodha every five seconds, of the five it allows, are the snapshot's; the others are for callers.
BROKER_SNAPSHOT_SECONDS = 5.0
SOURCE_WITH_TICKS = "zerodha"

SimulatedSource = SampleSource | ReplaySource


@dataclass(frozen=True, slots=True)
class _World:
    """What is there whatever prices come from."""

    settings: Settings
    clock: Clock
    bus: Bus
    database: Database
    calendar: Calendar
    splits: SplitSource


@dataclass(frozen=True, slots=True)
class _Prices:
    """What one kind of provider brings.

    Attributes:
        directory: which instruments there are.
        sources: where quotes come from.
        last_prices: what the ticks say.
        signals: what daily bars say.
        feed: the health check of the ticks; None where none are expected.
        is_feed_ours: whether this process has to publish the ticks.
        quote_seconds: how long the snapshot shows an answer before it asks again.
    """

    directory: InstrumentDirectory
    sources: QuoteSources
    last_prices: LastPrices
    signals: CurrentSignals
    feed: Check | None
    is_feed_ours: bool
    quote_seconds: float


@asynccontextmanager
async def build(settings: Settings, clock: Clock | None = None) -> AsyncIterator[None]:
    """Open market and serve until the block is left; then close in reverse order.

    It serves once the first snapshot is made, or no source answers, or after ten seconds.

    Raises:
        DatabaseUnavailable: the database did not answer at start.
        SchemaBehind: the schema is old and migrating at start is switched off.
        SplitsFileUnreadable, SplitsFileInvalid: the file of splits cannot be used.
        ReplayFileUnreadable, ReplayFileInvalid: the file to replay cannot be used.
        AddressInUse: the address to listen on is taken.
    """
    health = Health()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        world = await _open_world(settings, clock or SystemClock(), stack)
        open_prices = _brokers_prices if settings.broker_names else _simulated_prices
        prices = await enter(open_prices(world))
        desk = await enter(_desk(world, prices).running())
        await desk.wait_until_warm(FIRST_SNAPSHOT_SECONDS)
        health.add("database", world.database.is_answering)
        if prices.feed is not None:
            health.add("feed", prices.feed, critical=prices.is_feed_ours)
        health.add("nats", world.bus.is_answering, critical=False)
        health.add(SNAPSHOT_WARMER, desk.is_warm, critical=False)
        services = _services(world, prices, desk, settings.market_providers)
        await enter(serving(settings.market_address, services, health=health, settings=settings))
        yield


async def _open_world(settings: Settings, clock: Clock, stack: AsyncExitStack) -> _World:
    bus = await stack.enter_async_context(Bus.open(settings, name="market", streams=[EVENTS, TICKS]))
    database = await stack.enter_async_context(Database.open(settings.database_url))
    calendar, splits, _ = await asyncio.gather(
        asyncio.to_thread(load_calendar, clock.now().date()),
        asyncio.to_thread(_open_splits, settings),
        ensure_schema(database, "market", migrate=settings.market_migrate_on_start),
    )
    return _World(settings=settings, clock=clock, bus=bus, database=database, calendar=calendar, splits=splits)


def _open_splits(settings: Settings) -> KnownSplits:
    if settings.market_splits_path is None:
        return KnownSplits()
    return KnownSplits(read_splits(settings.market_splits_path))


# --- sample and replay: prices are made here, and their ticks published


@asynccontextmanager
async def _simulated_prices(world: _World) -> AsyncIterator[_Prices]:
    source = await asyncio.to_thread(_open_simulated_source, world)
    last_prices = LastPrices(SimulatedFreshness())
    configuration = configuration_key(source.configuration)
    statistics = PatternStatisticsStore(world.database, source=source.name, configuration=configuration)
    async with _running_feed(source, last_prices, world) as feed:
        yield _Prices(
            directory=InstrumentDirectory(source.instruments()),
            sources=QuoteSources([source], world.clock),
            last_prices=last_prices,
            signals=SignalBook(source, statistics, world.clock),
            feed=feed.is_well,
            is_feed_ours=True,
            quote_seconds=0.0,
        )


def _open_simulated_source(world: _World) -> SimulatedSource:
    """Open the source; blocks for some tenths of a second."""
    settings, clock = world.settings, world.clock
    listing = read_listing()
    if settings.replay_path is None or "replay" not in settings.market_providers:
        return SampleSource(
            listing,
            world.calendar,
            clock,
            seed=settings.sample_seed,
            tick_seconds=settings.sample_tick_seconds,
            is_always_open=settings.sample_always_open,
        )
    known = {each.instrument.id: each.instrument for each in listing}
    bars = read_bars(settings.replay_path)
    return ReplaySource(bars, known, clock, speed=settings.replay_speed, is_held=settings.replay_hold)


@asynccontextmanager
async def _running_feed(source: SimulatedSource, last_prices: LastPrices, world: _World) -> AsyncIterator[TickFeed]:
    publisher_id = world.settings.market_publisher_id
    publisher = TickPublisher(
        world.bus, world.clock, publisher_id=publisher_id, source=source.name, freshness=source.freshness
    )
    async with TickFeed(source, publisher, last_prices).running() as feed:
        if not isinstance(source, ReplaySource):
            yield feed
            return
        control = ReplayControl(source, world.bus, world.clock, run=f"{publisher_id}:{publisher.epoch}")
        await control.listen()
        async with running(control.announce_end(feed)):
            yield feed


# --- zerodha and icici: brokers is asked for quotes, and publishes the ticks


@asynccontextmanager
async def _brokers_prices(world: _World) -> AsyncIterator[_Prices]:
    settings, clock = world.settings, world.clock
    instruments = covered_instruments([each.instrument for each in read_listing()])
    rule = SessionFreshness(world.calendar, clock)
    last_prices = LastPrices(rule)
    listener = TickListener(
        last_prices,
        clock,
        sources=settings.broker_names,
        instruments=[each.id for each in instruments],
        sessions=world.calendar.sessions_of(Venue.INDIA),
    )
    await listener.listen(world.bus)
    # Nothing is retried: a refusal comes from a broker whose calls are counted, and the circuit breaker asks again.
    async with open_channel(settings.brokers_address, [], settings=settings) as channel:
        stub = BrokerQuoteServiceStub(channel)
        sources = [BrokerSource(name, instruments, stub=stub, rule=rule) for name in settings.broker_names]
        yield _Prices(
            directory=InstrumentDirectory(instruments),
            sources=QuoteSources(
                sources,
                clock,
                timeout_seconds=SOURCE_SECONDS,
                reuse=Reuse(REUSE_SECONDS, last_prices=last_prices, rule=rule, clock=clock),
            ),
            last_prices=last_prices,
            signals=NoSignals(),
            feed=listener.is_well if SOURCE_WITH_TICKS in settings.broker_names else None,
            is_feed_ours=False,
            quote_seconds=BROKER_SNAPSHOT_SECONDS,
        )


# --- what is served


def _desk(world: _World, prices: _Prices) -> SnapshotDesk:
    return SnapshotDesk(
        prices.directory,
        prices.sources,
        last_prices=prices.last_prices,
        signals=prices.signals,
        calendar=world.calendar,
        clock=world.clock,
        quote_seconds=prices.quote_seconds,
    )


def _services(world: _World, prices: _Prices, desk: SnapshotDesk, names: Sequence[str]) -> list[Register]:
    board = QuoteBoard(prices.directory, prices.sources, prices.last_prices)
    return [
        partial(add_QuoteServiceServicer_to_server, QuoteService(board)),
        partial(add_InstrumentServiceServicer_to_server, InstrumentService(prices.directory, names)),
        partial(add_SnapshotServiceServicer_to_server, SnapshotService(desk)),
        partial(add_CalendarServiceServicer_to_server, CalendarService(world.calendar)),
        partial(add_CorporateActionServiceServicer_to_server, CorporateActionService(world.splits)),
    ]


async def migrate(settings: Settings) -> None:
    """Bring the database's schema up to date.

    Raises:
        DatabaseUnavailable: the database did not answer.
    """
    async with Database.open(settings.database_url) as database:
        await ensure_schema(database, "market")
