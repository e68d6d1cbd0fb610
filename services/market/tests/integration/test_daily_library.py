import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chassis.clock import ManualClock
from chassis.database import Database, ensure_schema
from chassis.testing import free_port
from market.domain.adjustments import Adjustment
from market.domain.answer_desk import AnswerDesk
from market.domain.bars import DailyBars
from market.domain.capabilities import Capability
from market.domain.daily_library import DailyLibrary
from market.domain.history import DailyHistory
from market.domain.history_desk import HistoryDesk
from market.domain.instruments import Exchange, Instrument, InstrumentDirectory, InstrumentKind, Listing
from market.domain.lives import Lives
from market.domain.sessions import Session, Venue, VenueSessions
from market.domain.splits import Split
from market.storage.daily_bars import DailyBarStore

TCS = Instrument("NSE:TCS", Exchange.NSE, "TCS", "TCS", InstrumentKind.EQUITY, "INR")
TODAY = date(2024, 5, 30)
EVENING = datetime(2024, 5, 30, 12, 0, tzinfo=UTC)
SPLIT = Split(TCS.id, date(2023, 5, 30), 2, 1, "yahoo")


class EveryDay:
    """Trades every day from 4 to 10 o'clock."""

    def sessions_of(self, venue: Venue) -> VenueSessions:
        opens = [datetime(2024, 5, day, 4, tzinfo=UTC) for day in range(1, 32)]
        sessions = [Session(each.date(), each, each + timedelta(hours=6)) for each in opens]
        return VenueSessions(venue, sessions, known_from=date(2024, 5, 1), known_through=date(2024, 5, 31))


class Yahoo:
    """Has a bar of every day; the units were split once."""

    name = "yahoo"
    is_simulated = False
    capabilities = frozenset({Capability.DAILY_HISTORY})

    def __init__(self) -> None:
        self.asked: list[tuple[date, date]] = []

    def covers(self, capability: Capability, instrument: Instrument) -> bool:
        return True

    async def daily_history(self, instrument: Instrument, first: date, last: date) -> DailyHistory:
        self.asked.append((first, last))
        await asyncio.sleep(0)
        sessions = np.arange(np.datetime64(first), np.datetime64(last) + 1)
        close = (100 + sessions.astype(np.int64) % 50).astype(np.float64)
        bars = DailyBars(instrument.id, sessions, close, close + 1.0, close - 1.0, close, sessions.astype(np.int64))
        return DailyHistory(bars, [SPLIT] if first <= SPLIT.ex_date else [])


@pytest.fixture
async def replicas(database_url: str) -> AsyncIterator[list[tuple[HistoryDesk, Yahoo]]]:
    """Two processes on one database."""
    clock = ManualClock(EVENING)
    calendar = EveryDay()
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(2):
            database = await stack.enter_async_context(Database.open(database_url))
            await ensure_schema(database, "market")
            source = Yahoo()
            answers = AnswerDesk([source], clock, lives=Lives(calendar, clock))
            store = DailyBarStore(database)
            library = DailyLibrary(answers, [source], store=store, calendar=calendar, clock=clock)
            opened.append((HistoryDesk(InstrumentDirectory([TCS]), answers, library), source))
        yield opened


async def closes(desk: HistoryDesk, from_date: str = "", adjustment: Adjustment = Adjustment.SPLIT) -> list[float]:
    about = await desk.daily_bars("TCS", Listing.INDIA, from_date=from_date, to_date="", adjustment=adjustment)
    answered: list[float] = about.answer.value.close.tolist()
    return answered


async def test_replicas_that_fetch_the_same_at_once_answer_the_same(
    replicas: list[tuple[HistoryDesk, Yahoo]],
) -> None:
    spans = ["", "2024-01-01", "2012-01-01"]
    async with asyncio.timeout(60):
        await asyncio.gather(*(closes(desk, span) for desk, _ in replicas for span in spans * 10))
    asked = [len(source.asked) for _, source in replicas]
    answers = [await closes(desk, "2012-01-01") for desk, _ in replicas]
    assert answers[0] == answers[1]
    assert len(answers[0]) == (TODAY - date(2012, 1, 1)).days + 1
    assert [len(source.asked) for _, source in replicas] == asked
    assert max(asked) <= 2


async def test_what_one_replica_fetched_the_other_need_not(replicas: list[tuple[HistoryDesk, Yahoo]]) -> None:
    (first, _), (second, unasked) = replicas
    assert await closes(first) == await closes(second)
    assert unasked.asked == []


async def test_bars_are_kept_as_they_were_paid(replicas: list[tuple[HistoryDesk, Yahoo]]) -> None:
    desk, _ = replicas[0]
    told, paid = await closes(desk, "2023-05-01"), await closes(desk, "2023-05-01", Adjustment.RAW)
    before = (SPLIT.ex_date - date(2023, 5, 1)).days
    assert paid[:before] == [2 * close for close in told[:before]]
    assert paid[before:] == told[before:]


async def test_without_its_database_the_past_is_asked_of_the_source_and_told_all_the_same(tmp_path: Path) -> None:
    clock, calendar, source = ManualClock(EVENING), EveryDay(), Yahoo()
    nobody = f"postgresql+asyncpg://nobody@127.0.0.1:{free_port()}/nothing"
    async with Database.open(nobody) as away, Database.open(f"sqlite+aiosqlite:///{tmp_path}/market.sqlite3") as back:
        await ensure_schema(back, "market")
        store = Moved(DailyBarStore(away))
        answers = AnswerDesk([source], clock, lives=Lives(calendar, clock))
        library = DailyLibrary(answers, [source], store=store, calendar=calendar, clock=clock)
        desk = HistoryDesk(InstrumentDirectory([TCS]), answers, library)

        without = await closes(desk, "2024-01-01")

        assert len(without) == (TODAY - date(2024, 1, 1)).days + 1
        assert source.asked == [(date(2024, 1, 1), TODAY)]
        store.to = DailyBarStore(back)
        assert await closes(desk, "2024-01-01") == without
        assert await store.coverages(TCS.id)


class Moved:
    """A store that is elsewhere from some moment on."""

    def __init__(self, to: DailyBarStore) -> None:
        self.to = to

    def __getattr__(self, name: str) -> Any:
        return getattr(self.to, name)
