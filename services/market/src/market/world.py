"""What is there whatever prices come from: clock, calendar, database, bus, reference tables."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from chassis.bus import EVENTS, TICKS, Bus
from chassis.cache import Cache, open_cache
from chassis.clock import Clock
from chassis.database import Database, ensure_schema
from chassis.errors import BusUnavailable, DatabaseUnavailable
from chassis.tasks import running
from market.domain.aliases import Identifiers
from market.domain.constituents import ConstituentList
from market.domain.exchanges import ExchangeList
from market.domain.leadership import Alone, Candidate
from market.domain.ports import Calendar, Leadership, SplitSource
from market.providers.calendars.exchanges import load_calendar
from market.providers.reference.listing import Listed, read_listing
from market.providers.reference.tables import read_constituents, read_exchanges, read_identifiers
from market.providers.splits.file import KnownSplits, read_splits
from market.settings import Settings
from market.storage.leases import Leases

log = logging.getLogger(__name__)

LEAVE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ReferenceTables:
    """Facts that ship with the package.

    Attributes:
        listing: every instrument, with the level its made-up prices wander around.
        identifiers: what instruments are called elsewhere, by instrument id.
        constituents: what indices are made of.
        exchanges: every exchange that can be asked about.
    """

    listing: Sequence[Listed]
    identifiers: Mapping[str, Identifiers]
    constituents: ConstituentList
    exchanges: ExchangeList


@dataclass(frozen=True, slots=True)
class World:
    """What everything else is made from."""

    settings: Settings
    clock: Clock
    bus: Bus
    database: Database
    cache: Cache
    calendar: Calendar
    splits: SplitSource
    tables: ReferenceTables
    leadership: Leadership


async def open_world(settings: Settings, clock: Clock, stack: AsyncExitStack) -> World:
    """Open it for as long as the stack is.

    Raises:
        DatabaseUnavailable: the database did not answer.
        SchemaBehind: the schema is old and migrating at start is switched off.
        SplitsFileUnreadable, SplitsFileInvalid: the file of splits cannot be used.
    """
    enter = stack.enter_async_context
    bus = await enter(Bus.open(settings, name="market", streams=[EVENTS, TICKS]))
    database = await enter(Database.open(settings.database_url))
    cache = await enter(open_cache(settings))
    calendar, splits, tables, _ = await asyncio.gather(
        asyncio.to_thread(load_calendar, clock.now().date()),
        asyncio.to_thread(_read_splits, settings),
        asyncio.to_thread(_read_tables),
        ensure_schema(database, "market", migrate=settings.market_migrate_on_start),
    )
    leadership = await enter(leadership_in(database, bus, clock, name=settings.market_publisher_id))
    return World(
        settings,
        clock,
        bus,
        database,
        cache=cache,
        calendar=calendar,
        splits=splits,
        tables=tables,
        leadership=leadership,
    )


@asynccontextmanager
async def leadership_in(database: Database, bus: Bus, clock: Clock, *, name: str) -> AsyncIterator[Leadership]:
    """Lead where there is one process; be one of the replicas that may lead where there may be several.

    Args:
        database: where the lease is.
        bus: what ticks go out by; what was on its way when it broke may be lost.
        clock: measures it.
        name: what this replica is called in the lease, beside what no other is called.
    """
    if database.engine.dialect.name == "sqlite":
        yield Alone(clock)
        return
    candidate = Candidate(f"{name}:{uuid.uuid4().hex}", Leases(database), clock)

    async def note_loss() -> None:
        candidate.note_loss()

    bus.on_lost(note_loss)
    await candidate.look()
    try:
        async with running(candidate.run()):
            yield candidate
    finally:
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await _note_what_is_in_doubt(candidate, bus)
                await candidate.leave()
        except (DatabaseUnavailable, TimeoutError) as error:
            log.warning("leadership not given back, it runs out", extra={"error": type(error).__name__})


async def _note_what_is_in_doubt(candidate: Candidate, bus: Bus) -> None:
    """Note a loss unless the stream of ticks stands, as its leader says.

    An answer says that the server has read all that was handed to the connection before; a stream without a leader
    keeps nothing of it.
    """
    try:
        async with asyncio.timeout(LEAVE_SECONDS / 2):
            await bus.stream_position(str(TICKS.name))
    except (BusUnavailable, TimeoutError):
        candidate.note_loss()


def _read_splits(settings: Settings) -> KnownSplits:
    if settings.market_splits_path is None:
        return KnownSplits()
    return KnownSplits(read_splits(settings.market_splits_path))


def _read_tables() -> ReferenceTables:
    identifiers = read_identifiers()
    return ReferenceTables(
        listing=read_listing(),
        identifiers=identifiers,
        constituents=ConstituentList(read_constituents(identifiers)),
        exchanges=ExchangeList(read_exchanges()),
    )
