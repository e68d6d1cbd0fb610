"""Market's composition root: what is opened, in which order, and what health is made of."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from bourse.market.v1.calendars_pb2_grpc import add_CalendarServiceServicer_to_server
from bourse.market.v1.corporate_actions_pb2_grpc import add_CorporateActionServiceServicer_to_server
from bourse.market.v1.instruments_pb2_grpc import add_InstrumentServiceServicer_to_server
from bourse.market.v1.quotes_pb2_grpc import add_QuoteServiceServicer_to_server
from bourse.market.v1.snapshot_pb2_grpc import add_SnapshotServiceServicer_to_server

from chassis.bus import EVENTS, TICKS, Bus
from chassis.clock import Clock, SystemClock
from chassis.database import Database, ensure_schema
from chassis.health import Health
from chassis.process import running
from chassis.rpc_server import Register, serving
from market.domain.instruments import InstrumentDirectory
from market.domain.last_prices import LastPrices
from market.domain.pattern_statistics import configuration_key
from market.domain.ports import Calendar
from market.domain.quote_board import QuoteBoard
from market.domain.quote_sources import QuoteSources
from market.domain.signal_book import SignalBook
from market.domain.snapshot_desk import SnapshotDesk
from market.feed.publisher import TickPublisher
from market.feed.replay_control import ReplayControl
from market.feed.tick_feed import TickFeed
from market.handlers.calendars import CalendarService
from market.handlers.corporate_actions import CorporateActionService
from market.handlers.instruments import InstrumentService
from market.handlers.quotes import QuoteService
from market.handlers.snapshot import SnapshotService
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

Source = SampleSource | ReplaySource


@dataclass(frozen=True, slots=True)
class _Parts:
    source: Source
    calendar: Calendar
    directory: InstrumentDirectory
    splits: KnownSplits
    sources: QuoteSources
    last_prices: LastPrices
    clock: Clock


@asynccontextmanager
async def build(settings: Settings, clock: Clock | None = None) -> AsyncIterator[None]:
    """Open market and serve until the block is left; then close in reverse order.

    It serves once the first snapshot is made, or after ten seconds without.

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
        bus = await enter(Bus.open(settings, name="market", streams=[EVENTS, TICKS]))
        database = await enter(Database.open(settings.database_url))
        parts, _ = await asyncio.gather(
            asyncio.to_thread(_open_parts, settings, clock or SystemClock()),
            ensure_schema(database, "market", migrate=settings.market_migrate_on_start),
        )
        feed = await enter(_running_feed(parts, bus, settings))
        desk = await enter(_desk(parts, database).running())
        await desk.wait_until_warm(FIRST_SNAPSHOT_SECONDS)
        health.add("database", database.is_answering)
        health.add("feed", feed.is_well)
        health.add("nats", bus.is_answering, critical=False)
        health.add(SNAPSHOT_WARMER, desk.is_warm, critical=False)
        await enter(serving(settings.market_address, _services(parts, desk), health=health, settings=settings))
        yield


def _open_parts(settings: Settings, clock: Clock) -> _Parts:
    """Open the calendar and the source; blocks for a second, most of it imports."""
    calendar = load_calendar(clock.now().date())
    source = _open_source(settings, calendar, clock)
    return _Parts(
        source=source,
        calendar=calendar,
        directory=InstrumentDirectory(source.instruments()),
        splits=_open_splits(settings),
        sources=QuoteSources([source], clock),
        last_prices=LastPrices(source.name),
        clock=clock,
    )


def _open_splits(settings: Settings) -> KnownSplits:
    if settings.market_splits_path is None:
        return KnownSplits()
    return KnownSplits(read_splits(settings.market_splits_path))


def _open_source(settings: Settings, calendar: Calendar, clock: Clock) -> Source:
    listing = read_listing()
    if settings.replay_path is None or "replay" not in settings.market_providers:
        return SampleSource(
            listing,
            calendar,
            clock,
            seed=settings.sample_seed,
            tick_seconds=settings.sample_tick_seconds,
            is_always_open=settings.sample_always_open,
        )
    known = {each.instrument.id: each.instrument for each in listing}
    bars = read_bars(settings.replay_path)
    return ReplaySource(bars, known, clock, speed=settings.replay_speed, is_held=settings.replay_hold)


@asynccontextmanager
async def _running_feed(parts: _Parts, bus: Bus, settings: Settings) -> AsyncIterator[TickFeed]:
    publisher = TickPublisher(
        bus,
        parts.clock,
        publisher_id=settings.market_publisher_id,
        source=parts.source.name,
        freshness=parts.source.freshness,
    )
    async with TickFeed(parts.source, publisher, parts.last_prices).running() as feed:
        if not isinstance(parts.source, ReplaySource):
            yield feed
            return
        control = ReplayControl(parts.source, bus, parts.clock, run=f"{settings.market_publisher_id}:{publisher.epoch}")
        await control.listen()
        async with running(control.announce_end(feed)):
            yield feed


def _desk(parts: _Parts, database: Database) -> SnapshotDesk:
    configuration = configuration_key(parts.source.configuration)
    repository = PatternStatisticsStore(database, source=parts.source.name, configuration=configuration)
    return SnapshotDesk(
        parts.directory,
        parts.sources,
        last_prices=parts.last_prices,
        signals=SignalBook(parts.source, repository, parts.clock),
        calendar=parts.calendar,
        clock=parts.clock,
    )


def _services(parts: _Parts, desk: SnapshotDesk) -> list[Register]:
    board = QuoteBoard(parts.directory, parts.sources, parts.last_prices)
    return [
        partial(add_QuoteServiceServicer_to_server, QuoteService(board)),
        partial(add_InstrumentServiceServicer_to_server, InstrumentService(parts.directory)),
        partial(add_SnapshotServiceServicer_to_server, SnapshotService(desk)),
        partial(add_CalendarServiceServicer_to_server, CalendarService(parts.calendar)),
        partial(add_CorporateActionServiceServicer_to_server, CorporateActionService(parts.splits)),
    ]


async def migrate(settings: Settings) -> None:
    """Bring the database's schema up to date.

    Raises:
        DatabaseUnavailable: the database did not answer.
    """
    async with Database.open(settings.database_url) as database:
        await ensure_schema(database, "market")
