"""What is there whatever prices come from: clock, calendar, database, bus, reference tables."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from chassis.bus import EVENTS, TICKS, Bus
from chassis.cache import Cache, open_cache
from chassis.clock import Clock
from chassis.database import Database, ensure_schema
from market.domain.aliases import Identifiers
from market.domain.constituents import ConstituentList
from market.domain.exchanges import ExchangeList
from market.domain.ports import Calendar, SplitSource
from market.providers.calendars.exchanges import load_calendar
from market.providers.reference.listing import Listed, read_listing
from market.providers.reference.tables import read_constituents, read_exchanges, read_identifiers
from market.providers.splits.file import KnownSplits, read_splits
from market.settings import Settings


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
    return World(settings, clock, bus, database, cache=cache, calendar=calendar, splits=splits, tables=tables)


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
