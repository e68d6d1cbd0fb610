import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from chassis.clock import ManualClock
from chassis.errors import DatabaseUnavailable
from market.domain.adjustments import Adjustment
from market.domain.answer_desk import AnswerDesk, CapabilityMissing, NoAnswer
from market.domain.bars import DailyBars
from market.domain.capabilities import Capability, NothingKnown, Source
from market.domain.companies import Dividend
from market.domain.daily_library import EARLIEST, PUBLISHED_WITHIN, STALE_FOR, TOLD_AGAIN, DailyLibrary
from market.domain.dates import DatesInvalid
from market.domain.history import DailyHistory, IntradayBar
from market.domain.history_desk import HistoryDesk
from market.domain.instruments import (
    Exchange,
    Instrument,
    InstrumentDirectory,
    InstrumentKind,
    Listing,
    SymbolAmbiguous,
    SymbolInvalid,
    SymbolUnknown,
)
from market.domain.lives import HISTORY, Lives
from market.domain.quotes import Freshness
from market.domain.raw_history import Coverage, RawHistory
from market.domain.sessions import Session, Venue, VenueSessions
from market.domain.source_failures import SourcesUnavailable
from market.domain.splits import Split

INDIA = ZoneInfo("Asia/Kolkata")
# A Thursday evening in India: the day's session is over.
TODAY = date(2024, 5, 30)
EVENING = datetime.combine(TODAY, time(16, 0), INDIA)
FIRST_LISTED = date(2012, 1, 2)
SATURDAY = 5

TCS, INFY = (
    Instrument(f"NSE:{symbol}", Exchange.NSE, symbol, symbol, InstrumentKind.EQUITY, "INR")
    for symbol in ("TCS", "INFY")
)
ACME = [
    Instrument(f"{exchange}:ACME", exchange, "ACME", "Acme", InstrumentKind.EQUITY, "USD")
    for exchange in (Exchange.NASDAQ, Exchange.NYSE)
]
DAY, HOUR = 86_400.0, 3_600.0


def weekdays(first: date, last: date) -> list[date]:
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return [day for day in days if day.weekday() < SATURDAY]


def moment(day: date, clock_time: time) -> datetime:
    return datetime.combine(day, clock_time, INDIA)


class Weekdays:
    """Trades from 9:15 to 15:30 in India on every weekday of the days it knows."""

    def __init__(self, known_through: date = date(2025, 12, 31)) -> None:
        days = weekdays(date(2019, 1, 1), known_through)
        sessions = [Session(day, moment(day, time(9, 15)), moment(day, time(15, 30))) for day in days]
        self._sessions = VenueSessions(Venue.INDIA, sessions, known_from=date(2019, 1, 1), known_through=known_through)

    def sessions_of(self, venue: Venue) -> VenueSessions:
        return self._sessions


class Books:
    """What every source could know: one bar each weekday, published at 15:31, and what happened to the units.

    The close of a day, as it was paid, is the number of days since 2000, so that no two are alike.
    """

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.splits: list[Split] = []
        self.dividends: list[Dividend] = []
        self.published_at = time(15, 31)
        self.last_traded = date.max

    def told(self, instrument: Instrument, first: date, last: date) -> DailyHistory:
        now = self.clock.now()
        last = min(last, self.last_traded, now.astimezone(INDIA).date())
        days = [day for day in weekdays(max(first, FIRST_LISTED), last) if moment(day, self.published_at) <= now]
        today = now.astimezone(INDIA).date()
        splits = [each for each in self.splits if first <= each.ex_date <= today]
        paid = np.array([paid_on(day) / units_since(day, splits) for day in days])
        volume = np.array([1_000 * units_since(day, splits) for day in days]).astype(np.int64)
        bars = DailyBars(
            instrument.id, np.array(days, dtype="datetime64[D]"), paid, paid + 0.0, paid + 0.0, paid + 0.0, volume
        )
        dividends = [
            replace(each, amount=each.amount / units_since(each.ex_date, splits))
            for each in self.dividends
            if first <= each.ex_date <= last
        ]
        return DailyHistory(bars, splits, dividends)


def paid_on(day: date) -> float:
    return float((day - date(2000, 1, 1)).days)


def units_since(day: date, splits: Sequence[Split]) -> float:
    return float(np.prod([each.new_units / each.old_units for each in splits if each.ex_date > day]))


class FakeSource:
    """Answers from the books and writes down what it was asked."""

    def __init__(self, name: str, books: Books, *, is_simulated: bool = False) -> None:
        self.name = name
        self.is_simulated = is_simulated
        self.capabilities = frozenset({Capability.DAILY_HISTORY, Capability.INTRADAY_BARS})
        self.covered = {TCS.id, INFY.id}
        self.books = books
        self.asked: list[tuple[date, date]] = []
        self.failure: Exception | None = None
        # What it answers to a question that reaches back to before this day, and whether no bar is no word of it.
        self.failure_before: tuple[date, Exception] | None = None
        self.takes_no_bar_for_nothing = False
        self.gate: asyncio.Event | None = None
        self.intraday: list[IntradayBar] = []

    def covers(self, capability: Capability, instrument: Instrument) -> bool:
        return instrument.id in self.covered

    async def daily_history(self, instrument: Instrument, first: date, last: date) -> DailyHistory:
        self.asked.append((first, last))
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        if self.failure_before is not None and first < self.failure_before[0]:
            raise self.failure_before[1]
        history = self.books.told(instrument, first, last)
        if self.takes_no_bar_for_nothing and not len(history.bars):
            raise NothingKnown
        return history

    async def intraday_bars(self, instrument: Instrument, first: date, last: date) -> Sequence[IntradayBar]:
        self.asked.append((first, last))
        bars = [each for each in self.intraday if first <= each.begins_at.astimezone(INDIA).date() <= last]
        if self.takes_no_bar_for_nothing and not bars:
            raise NothingKnown
        return self.intraday


class FakeStore:
    """Keeps rows in memory as the database does: what is there is never changed."""

    def __init__(self) -> None:
        self.bars: dict[tuple[str, str], dict[date, tuple[float, float, float, float, int | None]]] = {}
        self.splits: dict[tuple[str, str], dict[date, Split]] = {}
        self.dividends: dict[tuple[str, str], dict[date, Dividend]] = {}
        self.covered: dict[tuple[str, str], Coverage] = {}
        self.appended = 0
        self.cannot_write = False
        self.is_away = False

    async def coverages(self, instrument: str) -> Mapping[str, Coverage]:
        if self.is_away:
            raise DatabaseUnavailable
        return {source: each for (about, source), each in self.covered.items() if about == instrument}

    async def append(self, source: str, raw: RawHistory, coverage: Coverage) -> None:
        if self.cannot_write:
            raise DatabaseUnavailable
        self.appended += 1
        bars, key = raw.bars, (raw.bars.instrument, source)
        volumes = [None] * len(bars) if bars.volume is None else bars.volume.tolist()
        prices = [column.tolist() for column in (bars.open, bars.high, bars.low, bars.close)]
        told = dict(zip(bars.sessions.tolist(), zip(*prices, volumes, strict=True), strict=True))
        self.bars[key] = told | self.bars.get(key, {})
        self.splits[key] = {each.ex_date: each for each in raw.splits} | self.splits.get(key, {})
        self.dividends[key] = {each.ex_date: each for each in raw.dividends} | self.dividends.get(key, {})
        before = self.covered.get(key, coverage)
        self.covered[key] = Coverage(
            min(before.first, coverage.first),
            max(before.last, coverage.last),
            max(before.asked_at, coverage.asked_at),
        )

    async def read(self, instrument: str, source: str, *, first: date, last: date | None = None) -> RawHistory:
        await asyncio.sleep(0)
        key = (instrument, source)
        rows = sorted((day, row) for day, row in self.bars[key].items() if first <= day <= (last or date.max))
        first_price, high, low, close, volume = np.array([row for _, row in rows], dtype=np.float64).reshape(-1, 5).T
        return RawHistory(
            DailyBars(
                instrument,
                np.array([day for day, _ in rows], dtype="datetime64[D]"),
                first_price,
                high,
                low,
                close,
                volume.astype(np.int64),
            ),
            [each for day, each in sorted(self.splits[key].items()) if day >= first],
            [each for day, each in sorted(self.dividends[key].items()) if day >= first],
        )


class Room:
    """A history desk with what it stands among."""

    def __init__(self, *names: str, is_simulated: bool = False, calendar: Weekdays | None = None) -> None:
        self.clock = ManualClock(EVENING)
        self.books = Books(self.clock)
        self.store = FakeStore()
        self.sources = [FakeSource(name, self.books, is_simulated=is_simulated) for name in names]
        self.calendar = calendar or Weekdays()
        self.open()

    def open(self, figures_seconds: float = 30.0) -> None:
        """Build the desk, as a process that starts does: what only the process remembered is gone."""
        sources: list[Source] = list(self.sources)
        answers = AnswerDesk(
            sources, self.clock, lives=Lives(self.calendar, self.clock), patience_seconds=30.0, call_seconds=30.0
        )
        self.library = DailyLibrary(answers, sources, store=self.store, calendar=self.calendar, clock=self.clock)
        directory = InstrumentDirectory([TCS, INFY, *ACME])
        self.desk = HistoryDesk(directory, answers, self.library, figures_seconds=figures_seconds)

    async def bars(
        self, from_date: str = "", to_date: str = "", adjustment: Adjustment = Adjustment.SPLIT
    ) -> DailyBars:
        about = await self.desk.daily_bars(
            "TCS", Listing.INDIA, from_date=from_date, to_date=to_date, adjustment=adjustment
        )
        self.answer = about.answer
        return about.answer.value

    @property
    def source(self) -> FakeSource:
        return self.sources[0]


def split(ex_date: date, new: int, old: int = 1) -> Split:
    return Split(TCS.id, ex_date, new, old, "books")


def closes_of(bars: DailyBars) -> dict[date, float]:
    return dict(zip(bars.sessions.tolist(), bars.close.tolist(), strict=True))


@pytest.fixture
def room() -> Room:
    return Room("yahoo")


# --- what is asked for, and what is not


async def test_bars_between_two_dates_are_answered_oldest_first(room: Room) -> None:
    bars = await room.bars("2024-05-01", "2024-05-10")
    assert closes_of(bars) == {day: paid_on(day) for day in weekdays(date(2024, 5, 1), date(2024, 5, 10))}
    assert bars.volume is not None
    assert set(bars.volume.tolist()) == {1_000}
    assert room.answer.provenance.source == "yahoo"
    assert room.answer.provenance.as_of == EVENING
    assert room.answer.provenance.freshness is Freshness.DELAYED


async def test_without_dates_five_years_up_to_today_are_answered(room: Room) -> None:
    bars = await room.bars()
    assert bars.sessions[[0, -1]].tolist() == [date(2019, 5, 31), TODAY]


async def test_a_second_question_about_the_same_span_costs_no_call(room: Room) -> None:
    first = await room.bars("2023-01-01", "2023-12-31")
    room.open()
    second = await room.bars("2023-01-01", "2023-12-31")
    assert closes_of(first) == closes_of(second)
    assert len(room.source.asked) == 1


async def test_the_first_question_brings_five_years_for_all_later_ones(room: Room) -> None:
    await room.bars("2024-05-01")
    assert len(await room.bars("2019-06-01", "2019-06-30")) == 20
    assert room.source.asked == [(date(2019, 5, 30), TODAY)]


async def test_without_a_first_day_five_years_are_told_of_what_has_been(room: Room) -> None:
    ahead = await room.bars("", "9999-12-31")
    await room.bars("", "1972-01-03")

    assert ahead.sessions[[0, -1]].tolist() == [date(2019, 5, 31), TODAY]
    assert room.source.asked[-1][0] == date(1970, 1, 1)
    with pytest.raises(DatesInvalid, match="to_date is 1969-12-31"):
        await room.bars("", "1969-12-31")


async def test_an_older_span_is_fetched_up_to_what_is_known(room: Room) -> None:
    await room.bars()
    bars = await room.bars("2015-01-01", "2020-01-01")
    assert bars.sessions[[0, -1]].tolist() == [date(2015, 1, 1), date(2020, 1, 1)]
    assert room.source.asked[1:] == [(date(2015, 1, 1), date(2019, 5, 30))]
    assert room.store.covered[(TCS.id, "yahoo")] == Coverage(date(2015, 1, 1), TODAY, EVENING)


async def test_what_is_older_than_a_listing_is_asked_for_once(room: Room) -> None:
    await room.bars()
    for _ in range(2):
        assert len(await room.bars("2001-01-01", "2001-12-31")) == 0
        await room.clock.advance(2 * HOUR)
    assert len(room.source.asked) == 2


async def test_a_source_that_knows_nothing_older_is_not_asked_again(room: Room) -> None:
    await room.bars()
    room.source.failure = NothingKnown()
    assert len(await room.bars("2001-01-01", "2001-12-31")) == 0
    assert len(await room.bars("2002-01-01", "2002-12-31")) == 0
    assert len(room.source.asked) == 2


async def test_after_the_next_session_only_the_tail_is_fetched(room: Room) -> None:
    await room.bars()
    await room.clock.advance(DAY)
    assert (await room.bars()).last_session == TODAY + timedelta(days=1)
    assert room.source.asked[1:] == [(TODAY - TOLD_AGAIN, TODAY + timedelta(days=1))]
    assert room.answer.answered_at == EVENING + timedelta(days=1)


async def test_a_tail_and_a_head_are_one_question(room: Room) -> None:
    await room.bars()
    await room.clock.advance(DAY)
    await room.bars("2010-01-01")
    assert room.source.asked[1:] == [(date(2010, 1, 1), TODAY + timedelta(days=1))]
    assert room.store.covered[(TCS.id, "yahoo")].first == date(2010, 1, 1)


async def test_a_head_does_not_put_off_the_tail(room: Room) -> None:
    await room.clock.advance(DAY - 70 * 60.0)  # Friday, 14:50
    await room.bars()
    await room.clock.advance(50 * 60.0)
    await room.bars("2010-01-01")
    await room.clock.advance(11 * 60.0)
    assert (await room.bars()).last_session == TODAY + timedelta(days=1)
    assert [last for _, last in room.source.asked[1:]] == [date(2019, 5, 31), TODAY + timedelta(days=1)]


async def test_no_call_is_made_before_a_session_has_finished(room: Room) -> None:
    await room.clock.advance(DAY)  # Friday evening
    await room.bars()
    await room.clock.advance(2 * DAY + 23 * HOUR)  # Monday, 15:00
    bars = await room.bars()
    assert bars.last_session == TODAY + timedelta(days=1)
    assert len(room.source.asked) == 1


async def test_no_call_is_made_within_an_hour(room: Room) -> None:
    await room.clock.advance(DAY - 45 * 60.0)  # Friday, 15:15
    await room.bars()
    await room.clock.advance(HISTORY.total_seconds() - 1.0)
    room.open()
    assert (await room.bars()).last_session == TODAY
    await room.clock.advance(1.0)
    assert (await room.bars()).last_session == TODAY + timedelta(days=1)
    assert len(room.source.asked) == 2


async def test_a_bar_that_is_published_late_is_waited_for(room: Room) -> None:
    room.books.published_at = time(18, 30)
    for _ in range(5):
        await room.bars()
        await room.clock.advance(HOUR)
    assert (await room.bars()).last_session == TODAY
    assert len(room.source.asked) == 4


async def test_a_session_without_a_trade_is_not_waited_for_all_night(room: Room) -> None:
    room.books.last_traded = TODAY - timedelta(days=1)
    for _ in range(16):
        await room.bars()
        await room.clock.advance(HOUR)
    assert len(room.source.asked) == PUBLISHED_WITHIN / HISTORY + 1


async def test_beyond_the_calendar_sources_are_asked_every_hour() -> None:
    room = Room("yahoo", calendar=Weekdays(known_through=TODAY - timedelta(days=3)))
    for _ in range(3):
        await room.bars()
        await room.clock.advance(HOUR)
    assert len(room.source.asked) == 3


async def test_readers_at_once_fetch_and_write_once(room: Room) -> None:
    room.source.gate = asyncio.Event()
    readers = [asyncio.create_task(room.desk.price_change("TCS", Listing.INDIA)) for _ in range(500)]
    await asyncio.sleep(0.01)
    room.source.gate.set()
    answers = await asyncio.gather(*readers)
    assert len({id(each.answer.value) for each in answers}) > 1
    assert (len(room.source.asked), room.store.appended) == (1, 1)


async def test_different_spans_at_once_are_fetched_once(room: Room) -> None:
    room.source.gate = asyncio.Event()
    readers = [asyncio.create_task(room.bars(f"2024-05-{day:02}")) for day in range(1, 29)]
    await asyncio.sleep(0.01)
    room.source.gate.set()
    bars = await asyncio.gather(*readers)
    assert bars[0].sessions[0].astype(date) == date(2024, 5, 1)
    assert bars[-1].sessions[0].astype(date) == date(2024, 5, 28)
    assert (len(room.source.asked), room.store.appended) == (1, 1)


async def test_a_reader_who_leaves_cancels_nobody(room: Room) -> None:
    room.source.gate = asyncio.Event()
    leaving, staying = (asyncio.create_task(room.bars()) for _ in range(2))
    await asyncio.sleep(0.01)
    leaving.cancel()
    room.source.gate.set()
    assert (await staying).last_session == TODAY
    assert len(room.source.asked) == 1


async def test_what_could_not_be_stored_is_told_and_stored_when_it_is_asked_for_again(room: Room) -> None:
    room.store.cannot_write = True
    assert (await room.bars()).last_session == TODAY
    assert room.store.appended == 0
    asked = len(room.source.asked)
    room.store.cannot_write = False
    assert (await room.bars()).last_session == TODAY
    assert room.store.appended == 1
    assert len(room.source.asked) == asked


@pytest.mark.parametrize("from_date", ["", "2024-05-30", "2001-01-02"])
@pytest.mark.parametrize("says_nothing", [False, True])
async def test_without_a_store_a_source_without_a_bar_knows_nothing(
    room: Room, from_date: str, *, says_nothing: bool
) -> None:
    room.store.is_away = True
    room.source.takes_no_bar_for_nothing = says_nothing
    room.books.last_traded = date(2001, 1, 1)
    with pytest.raises(NoAnswer):
        await room.bars(from_date)


# --- days without a session


SUNDAY = date(2024, 6, 2)


async def on_sunday(room: Room) -> None:
    await room.clock.advance(3 * DAY)
    assert room.clock.now().astimezone(INDIA).date() == SUNDAY


@pytest.mark.parametrize("says_nothing", [False, True])
@pytest.mark.parametrize("days", [("2024-06-01", ""), ("2024-06-01", "2024-06-02"), ("2024-06-03", "")])
@pytest.mark.parametrize("kept", ["in the store", "nowhere", "made up"])
async def test_days_without_a_session_are_an_empty_answer(
    days: tuple[str, str], kept: str, *, says_nothing: bool
) -> None:
    room = Room("books", is_simulated=kept == "made up")
    room.store.is_away = kept == "nowhere"
    room.source.takes_no_bar_for_nothing = says_nothing
    await on_sunday(room)

    for adjustment in Adjustment:
        assert len(await room.bars(*days, adjustment)) == 0

    assert room.answer.provenance.source == "books"
    assert room.answer.provenance.as_of == room.clock.now()
    assert room.answer.provenance.freshness is (Freshness.SIMULATED if kept == "made up" else Freshness.DELAYED)
    assert len(room.source.asked) <= 2


async def test_an_empty_answer_without_a_store_is_of_a_source_that_has_a_bar_at_all() -> None:
    room = Room("fmp", "yahoo")
    room.store.is_away = True
    room.sources[0].failure = NothingKnown()
    await on_sunday(room)

    assert len(await room.bars("2024-06-01")) == 0

    assert room.answer.source == "yahoo"
    assert [first for first, _ in room.sources[1].asked] == [date(2024, 6, 1), date(2019, 6, 2)]


async def test_a_source_that_fails_before_it_is_known_to_have_a_bar_is_no_empty_answer(room: Room) -> None:
    room.store.is_away = True
    room.source.failure_before = date(2024, 1, 1), OSError()
    await on_sunday(room)

    with pytest.raises(SourcesUnavailable):
        await room.bars("2024-06-01")


async def test_a_source_that_fails_on_days_without_a_session_is_no_empty_answer(room: Room) -> None:
    room.source.failure = OSError()
    await on_sunday(room)

    with pytest.raises(SourcesUnavailable):
        await room.bars("2024-06-01")


async def test_bars_of_five_minutes_of_days_without_a_session_are_an_empty_answer(room: Room) -> None:
    room.source.takes_no_bar_for_nothing = True
    room.source.intraday = [intraday(date(2024, 5, 31), time(9, 15))]
    await on_sunday(room)

    for from_date, to_date in [("2024-06-01", ""), ("2024-06-02", "2024-06-02"), ("2024-06-03", "")]:
        about = await room.desk.intraday_bars("TCS", Listing.INDIA, from_date=from_date, to_date=to_date)
        assert about.answer.value == []
        assert about.answer.provenance.as_of == room.clock.now()

    room.source.intraday = []
    with pytest.raises(NoAnswer):
        await room.desk.intraday_bars("NSE:INFY", Listing.INDIA, from_date="2024-06-01", to_date="")


# --- since a day that has not begun everywhere


async def test_what_has_been_since_tomorrow_is_nothing_yet(room: Room) -> None:
    assert len(await room.bars("2024-05-31")) == 0
    about = await room.desk.intraday_bars("TCS", Listing.INDIA, from_date="2024-05-31", to_date="")
    assert about.answer.value == []


async def test_what_has_been_since_later_than_tomorrow_is_refused_by_the_day_where_it_trades(room: Room) -> None:
    said = r"from_date 2024-06-01 is after today \(2024-05-30 in Kolkata\); it should be 2024-05-31 at most"
    with pytest.raises(DatesInvalid, match=said):
        await room.bars("2024-06-01")
    with pytest.raises(DatesInvalid, match=said):
        await room.desk.intraday_bars("TCS", Listing.INDIA, from_date="2024-06-01", to_date="")
    with pytest.raises(DatesInvalid, match=r"2024-06-03 is after today \(2024-05-30 in New York\)"):
        await room.desk.daily_bars(
            "NYSE:ACME",
            Listing.UNITED_STATES,
            from_date="2024-06-03",
            to_date="",
            adjustment=Adjustment.SPLIT,
        )
    assert room.source.asked == []


async def test_what_is_under_way_is_ended_on_closing(room: Room) -> None:
    room.source.gate = asyncio.Event()
    reader = asyncio.create_task(room.bars())
    await asyncio.sleep(0.01)
    await room.library.close()
    with pytest.raises(asyncio.CancelledError):
        await reader


# --- splits and dividends


async def test_stored_bars_stay_valid_across_a_split(room: Room) -> None:
    before = closes_of(await room.bars("2024-05-20"))
    stored = dict(room.store.bars[(TCS.id, "yahoo")])
    room.books.splits.append(split(TODAY + timedelta(days=1), 5))
    room.books.splits.append(split(date(2016, 6, 1), 2))
    await room.clock.advance(DAY)
    after = closes_of(await room.bars("2024-05-20"))
    day_after = TODAY + timedelta(days=1)
    assert after == {day: close / 5 for day, close in before.items()} | {day_after: paid_on(day_after)}
    assert closes_of(await room.bars("2024-05-20", adjustment=Adjustment.RAW)) == before | {
        day_after: paid_on(day_after)
    }
    assert stored.items() <= room.store.bars[(TCS.id, "yahoo")].items()
    assert len(room.source.asked) == 2


async def test_a_split_that_a_source_learns_of_late_is_found(room: Room) -> None:
    await room.bars()
    await room.clock.advance(4 * DAY)  # Monday
    await room.bars()
    # Both days' bars are kept as they were paid; only now the source says that Friday's were of new units.
    room.books.splits.append(split(TODAY + timedelta(days=1), 2))
    await room.clock.advance(DAY)
    assert closes_of(await room.bars("2024-05-30", "2024-05-30")) == {TODAY: paid_on(TODAY) / 2}


async def test_an_old_span_is_adjusted_for_a_split_after_it(room: Room) -> None:
    room.books.splits.append(split(date(2020, 6, 1), 2))
    day = date(2015, 3, 2)
    assert closes_of(await room.bars("2015-03-02", "2015-03-02")) == {day: paid_on(day) / 2}
    raw = await room.bars("2015-03-02", "2015-03-02", Adjustment.RAW)
    assert closes_of(raw) == {day: paid_on(day)}
    assert raw.volume is not None
    assert raw.volume.tolist() == [1_000]


async def test_a_head_brings_the_splits_of_its_time(room: Room) -> None:
    room.books.splits.append(split(date(2014, 6, 2), 2))
    await room.bars()
    bars = closes_of(await room.bars("2014-05-30", "2014-06-02"))
    assert bars == {date(2014, 5, 30): paid_on(date(2014, 5, 30)) / 2, date(2014, 6, 2): paid_on(date(2014, 6, 2))}


async def test_all_takes_dividends_after_the_span_into_account(room: Room) -> None:
    room.books.splits.append(split(date(2024, 3, 1), 2))
    room.books.dividends.append(Dividend(date(2024, 2, 1), 100.0))
    paid = paid_on(date(2024, 1, 31))
    expected = paid_on(date(2023, 1, 2)) / 2 * (1 - 100.0 / paid)
    bars = await room.bars("2023-01-02", "2023-01-02", Adjustment.ALL)
    assert bars.close.tolist() == pytest.approx([expected], rel=1e-9)


# --- several sources


async def test_bars_of_two_sources_are_never_mixed() -> None:
    room = Room("fmp", "yahoo")
    room.sources[0].failure = OSError()
    await room.bars()
    assert room.answer.source == "yahoo"
    room.sources[0].failure = None
    await room.clock.advance(DAY)
    await room.bars()
    assert room.answer.source == "fmp"
    assert room.sources[0].asked[-1] == (date(2019, 5, 31), TODAY + timedelta(days=1))
    assert room.store.bars[(TCS.id, "yahoo")].keys() < room.store.bars[(TCS.id, "fmp")].keys() | {date(2019, 5, 30)}


async def test_the_first_source_that_has_the_span_answers() -> None:
    room = Room("fmp", "yahoo")
    await room.bars()
    room.sources[0].failure = OSError()
    await room.bars("2010-01-01")
    assert room.answer.source == "yahoo"
    await room.bars("2024-01-01")
    assert room.answer.source == "fmp"
    await room.bars("2011-01-01")
    assert room.answer.source == "yahoo"
    assert [len(each.asked) for each in room.sources] == [2, 1]


async def test_a_source_that_does_not_cover_the_instrument_is_not_read_from() -> None:
    room = Room("fmp", "yahoo")
    await room.bars()
    room.sources[0].covered.clear()
    room.open()
    await room.bars()
    assert room.answer.source == "yahoo"


async def test_while_sources_fail_what_is_stored_is_served_stale(room: Room) -> None:
    await room.bars()
    room.open()
    room.source.failure = OSError()
    await room.clock.advance(DAY)
    bars = await room.bars()
    assert bars.last_session == TODAY
    assert room.answer.provenance.freshness is Freshness.STALE
    assert room.answer.answered_at == EVENING


async def test_what_another_source_said_stands_in() -> None:
    room = Room("fmp", "yahoo")
    room.sources[0].failure = OSError()
    await room.bars()
    room.open()
    room.sources[1].failure = OSError()
    await room.clock.advance(DAY)
    await room.bars()
    assert (room.answer.source, room.answer.is_stale) == ("yahoo", True)


async def test_an_answer_that_outlived_its_time_is_stale(room: Room) -> None:
    await room.clock.advance(DAY - 45 * 60.0)  # Friday, 15:15
    await room.bars()
    room.source.failure = OSError()
    await room.clock.advance(2 * HOUR)
    await room.bars()
    assert room.answer.is_stale


@pytest.mark.parametrize("from_date", ["", "2001-01-01"], ids=["too old", "too short"])
async def test_what_is_too_old_or_too_short_does_not_stand_in(room: Room, from_date: str) -> None:
    await room.bars()
    room.open()
    room.source.failure = OSError()
    await room.clock.advance(DAY if from_date else STALE_FOR.total_seconds() + 1.0)
    with pytest.raises(SourcesUnavailable):
        await room.bars(from_date)


@pytest.mark.parametrize("knows", ["nothing", "no bars"])
async def test_an_instrument_without_history_is_not_an_empty_answer(room: Room, knows: str) -> None:
    room.source.failure = NothingKnown() if knows == "nothing" else None
    room.books.last_traded = date(2001, 1, 1)
    with pytest.raises(NoAnswer):
        await room.bars()
    assert room.store.covered == {}


async def test_without_a_source_there_is_no_history() -> None:
    with pytest.raises(CapabilityMissing):
        await Room().bars()


async def test_what_is_made_up_is_not_kept() -> None:
    room = Room("sample", is_simulated=True)
    room.books.splits.append(split(date(2024, 5, 29), 2))
    bars = await room.bars("2024-05-28", "2024-05-29")
    assert closes_of(bars) == {
        date(2024, 5, 28): paid_on(date(2024, 5, 28)) / 2,
        date(2024, 5, 29): paid_on(date(2024, 5, 29)),
    }
    assert room.answer.provenance.freshness is Freshness.SIMULATED
    assert (room.store.appended, room.store.covered) == (0, {})


# --- how long it serves


async def test_bars_serve_for_an_hour_outside_sessions(room: Room) -> None:
    await room.bars()
    assert room.answer.serves_until == EVENING + HISTORY


async def test_bars_serve_to_the_end_of_the_session(room: Room) -> None:
    await room.bars()
    await room.clock.advance(23 * HOUR)  # Friday, 15:00
    await room.bars()
    assert room.answer.serves_until == moment(TODAY + timedelta(days=1), time(15, 30))


async def test_bars_that_lack_a_session_serve_for_an_hour_from_when_they_were_asked(room: Room) -> None:
    room.books.published_at = time(23, 0)
    await room.bars()
    await room.clock.advance(HOUR / 2)
    await room.bars()
    assert room.answer.serves_until == EVENING + HISTORY


# --- what callers may ask


@pytest.mark.parametrize(
    ("from_date", "to_date"),
    [("2024-05-02", "2024-05-01"), ("1969-12-31", ""), ("2024-02-30", ""), ("", "yesterday"), ("", "1969-01-01")],
)
async def test_dates_that_cannot_be_are_refused(room: Room, from_date: str, to_date: str) -> None:
    with pytest.raises(DatesInvalid):
        await room.bars(from_date, to_date)
    with pytest.raises(DatesInvalid):
        await room.desk.intraday_bars("TCS", Listing.INDIA, from_date=from_date, to_date=to_date)
    assert room.source.asked == []


async def test_dates_that_lie_ahead_hold_what_there_is(room: Room) -> None:
    assert (await room.bars("2024-05-29", "9999-12-31")).sessions.tolist() == [date(2024, 5, 29), TODAY]
    assert len(await room.bars("2024-06-01", "9999-12-31")) == 0
    assert room.source.asked == [(date(2019, 5, 30), TODAY)]


async def test_today_is_reckoned_where_the_instrument_trades(room: Room) -> None:
    await room.clock.advance(9 * HOUR)  # 01:00 on Friday in India, still Thursday in UTC
    assert room.clock.now().astimezone(UTC).date() == TODAY
    await room.bars()
    assert room.source.asked == [(date(2019, 5, 31), TODAY + timedelta(days=1))]


@pytest.mark.parametrize(
    ("symbol", "listing", "error"),
    [
        ("NSE:NONE", Listing.INDIA, SymbolUnknown),
        ("", Listing.INDIA, SymbolInvalid),
        ("ACME", Listing.UNITED_STATES, SymbolAmbiguous),
    ],
)
async def test_symbols_that_mean_nothing_are_refused(
    room: Room, symbol: str, listing: Listing, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await room.desk.daily_bars(symbol, listing, from_date="", to_date="", adjustment=Adjustment.SPLIT)
    with pytest.raises(error):
        await room.desk.intraday_bars(symbol, listing, from_date="", to_date="")
    with pytest.raises(error):
        await room.desk.price_change(symbol, listing)


# --- bars of five minutes


def intraday(day: date, clock_time: time) -> IntradayBar:
    return IntradayBar(moment(day, clock_time).astimezone(UTC), 1.0, 2.0, 0.5, 1.5, 100)


async def test_intraday_bars_are_those_of_the_exchanges_days_oldest_first(room: Room) -> None:
    early, late = intraday(date(2024, 5, 28), time(9, 15)), intraday(date(2024, 5, 29), time(15, 25))
    before, after = intraday(date(2024, 5, 27), time(23, 55)), intraday(date(2024, 5, 30), time(0, 0))
    room.source.intraday = [after, late, early, before]
    about = await room.desk.intraday_bars("NSE:TCS", Listing.INDIA, from_date="2024-05-28", to_date="2024-05-29")
    assert about.answer.value == [early, late]
    assert about.answer.source == "yahoo"
    assert room.source.asked == [(date(2024, 5, 25), date(2024, 5, 29))]


async def test_intraday_bars_are_of_four_days_and_31_at_most(room: Room) -> None:
    await room.desk.intraday_bars("TCS", Listing.INDIA, from_date="", to_date="")
    await room.desk.intraday_bars("TCS", Listing.INDIA, from_date="2024-05-15", to_date="2024-06-15")
    assert room.source.asked == [(date(2024, 5, 26), TODAY), (date(2024, 5, 15), TODAY)]
    with pytest.raises(DatesInvalid):
        await room.desk.intraday_bars("TCS", Listing.INDIA, from_date="2024-05-15", to_date="2024-06-16")


async def test_intraday_bars_from_long_ago_are_of_its_31_days(room: Room) -> None:
    await room.desk.intraday_bars("TCS", Listing.INDIA, from_date="2024-01-01", to_date="")
    assert room.source.asked == [(date(2024, 1, 1), date(2024, 2, 1))]


# --- figures


async def test_the_price_change_is_of_all_history_adjusted_for_splits(room: Room) -> None:
    room.books.splits.append(split(TODAY, 2))
    change = (await room.desk.price_change("TCS", Listing.INDIA)).answer.value
    newest = paid_on(TODAY)
    assert change.day_1 == round((newest / (paid_on(TODAY - timedelta(days=1)) / 2) - 1) * 100, 5)
    assert change.max == round((newest / (paid_on(FIRST_LISTED) / 2) - 1) * 100, 5)
    assert room.source.asked == [(EARLIEST, TODAY)]


async def test_figures_of_a_year_are_made_of_bars(room: Room) -> None:
    room.books.splits.append(split(date(2024, 1, 1), 2))
    answer = await room.desk.year_figures(TCS)
    assert answer is not None
    assert answer.source == "yahoo"
    assert answer.value.year_high == paid_on(TODAY)
    assert answer.value.year_low == paid_on(date(2023, 6, 2)) / 2
    assert answer.value.price_avg200 is not None
    assert answer.value.avg_volume == 1_000


async def test_an_instrument_without_history_has_no_figures(room: Room) -> None:
    room.source.failure = OSError()
    assert await room.desk.year_figures(TCS) is None


async def test_figures_of_many_leave_out_who_has_none(room: Room) -> None:
    figures = await room.desk.year_figures_of([TCS, *ACME, INFY])
    assert list(figures) == [TCS.id, INFY.id]
    assert await room.desk.year_figures_of([]) == {}


async def test_figures_that_take_too_long_are_left_out_and_there_the_next_time(room: Room) -> None:
    room.source.gate = asyncio.Event()
    room.open(figures_seconds=0.05)
    assert await room.desk.year_figures_of([TCS]) == {}
    room.source.gate.set()
    assert await room.desk.year_figures(TCS) is not None
    assert len(room.source.asked) == 1


async def test_figures_never_fail_a_quote(
    room: Room, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(room.library, "history", None)
    with caplog.at_level(logging.ERROR):
        assert await room.desk.year_figures_of([TCS]) == {}
    assert [each.message for each in caplog.records] == ["figures not made"]
