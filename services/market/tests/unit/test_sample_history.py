from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.clock import ManualClock
from market.domain.capabilities import Capability, NothingKnown
from market.domain.history import DailyHistory, IntradayBar
from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.sessions import Session, Venue, VenueSessions
from market.providers.calendars.exchanges import ExchangeCalendar, load_calendar
from market.providers.reference.listing import read_listing
from market.providers.sample.daily import FIRST_DAY, FIRST_PAST_DAY, DailyPrices
from market.providers.sample.history import KEPT_PASTS, History
from market.providers.sample.hours import SessionTimes, simulated_sessions
from market.providers.sample.intraday import MAX_SESSIONS
from market.providers.sample.source import SampleSource

LISTING = read_listing()
IDS = ("NSE:TCS", "NASDAQ:AAPL", "INDEX:NIFTY50", "FX:EURUSD", "NSE:NIFTYBEES")
SOME = [each for each in LISTING if each.instrument.id in IDS]
TODAY = datetime(2026, 1, 7, 6, 0, tzinfo=UTC)  # a Wednesday, NSE trades
FIVE_MINUTES = timedelta(minutes=5)
STRANGER = Instrument("NSE:NOBODY", Exchange.NSE, "NOBODY", "Nobody Ltd.", InstrumentKind.EQUITY, "INR")

Make = Callable[..., SampleSource]


@pytest.fixture(scope="module")
def calendar() -> ExchangeCalendar:
    return load_calendar(TODAY.date())


@pytest.fixture(scope="module")
def make(calendar: ExchangeCalendar) -> Make:
    def make(now: datetime = TODAY, *, seed: int = 7, tick_seconds: float = 10.0) -> SampleSource:
        clock = ManualClock(now)
        return SampleSource(SOME, calendar, clock, seed=seed, tick_seconds=tick_seconds, is_always_open=False)

    return make


@pytest.fixture(scope="module")
def source(make: Make) -> SampleSource:
    return make()


def of(source: SampleSource, instrument_id: str) -> Instrument:
    return next(each for each in source.instruments() if each.id == instrument_id)


async def all_history(source: SampleSource, instrument_id: str) -> DailyHistory:
    return await source.daily_history(of(source, instrument_id), date(2000, 1, 1), TODAY.date())


@pytest.mark.parametrize("instrument", IDS)
async def test_history_reaches_back_sixteen_years_in_sound_bars(source: SampleSource, instrument: str) -> None:
    bars = (await all_history(source, instrument)).bars
    assert bars.sessions[0].astype(date) - FIRST_PAST_DAY < timedelta(days=7)
    assert len(bars) > 16 * 240
    assert bool(np.all(bars.low <= np.minimum(bars.open, bars.close)))
    assert bool(np.all(bars.high >= np.maximum(bars.open, bars.close)))
    assert bool(np.all(bars.low > 0))
    assert max(np.abs(np.diff(np.log(bars.close)))) < 0.15
    assert (bars.volume is None) == (instrument[:2] in ("IN", "FX"))


@pytest.mark.parametrize("instrument", IDS)
async def test_since_the_first_day_history_is_what_the_daily_bars_say(source: SampleSource, instrument: str) -> None:
    history = await source.daily_history(of(source, instrument), FIRST_DAY, TODAY.date())
    bars = source.bars_at(of(source, instrument), TODAY, 10_000)
    for name in ("sessions", "open", "high", "low", "close"):
        np.testing.assert_array_equal(getattr(history.bars, name), getattr(bars, name))


async def test_the_past_leads_up_to_the_first_day_without_a_leap(source: SampleSource) -> None:
    bars = (await source.daily_history(of(source, "NSE:TCS"), date(2022, 12, 1), date(2023, 1, 31))).bars
    before = int(np.searchsorted(bars.sessions, np.datetime64(FIRST_DAY)))
    assert 0 < before < len(bars)
    assert bars.open[before] == pytest.approx(bars.close[before - 1], rel=0.04)


async def test_todays_session_has_a_bar_only_once_it_is_over(make: Make, calendar: ExchangeCalendar) -> None:
    session = next(each for each in calendar.sessions_of(Venue.INDIA).sessions if each.date == TODAY.date())
    for now, newest in (
        (session.closes_at - timedelta(microseconds=1), date(2026, 1, 6)),
        (session.closes_at, date(2026, 1, 7)),
    ):
        bars = (await all_history(make(now), "NSE:TCS")).bars
        assert bars.last_session == newest


@settings(max_examples=20)
@given(start=st.integers(0, 6_000), length=st.integers(-3, 900))
async def test_any_part_of_history_is_cut_from_the_whole(source: SampleSource, start: int, length: int) -> None:
    first = date(2009, 12, 1) + timedelta(days=start)
    last = first + timedelta(days=length)
    whole = (await all_history(source, "NASDAQ:AAPL")).bars
    part = (await source.daily_history(of(source, "NASDAQ:AAPL"), first, last)).bars
    days = whole.sessions.astype("datetime64[D]")
    chosen = (days >= np.datetime64(first)) & (days <= np.datetime64(last))
    np.testing.assert_array_equal(part.sessions, whole.sessions[chosen])
    np.testing.assert_array_equal(part.close, whole.close[chosen])


async def test_neither_when_it_starts_nor_what_else_is_listed_changes_the_past(
    make: Make, source: SampleSource, calendar: ExchangeCalendar
) -> None:
    alone = SampleSource(SOME[:1], calendar, ManualClock(TODAY), seed=7, tick_seconds=1.0, is_always_open=True)
    instrument = SOME[0].instrument.id
    expected = (await all_history(source, instrument)).bars
    for other in (make(TODAY - timedelta(days=900)), alone):
        bars = (await other.daily_history(of(other, instrument), FIRST_PAST_DAY, date(2023, 6, 30))).bars
        np.testing.assert_array_equal(bars.high, expected.high[: len(bars)])
        np.testing.assert_array_equal(bars.close, expected.close[: len(bars)])


async def test_another_seed_has_another_past(make: Make) -> None:
    one, two = [(await all_history(make(seed=seed), "NSE:TCS")).bars.close[:500] for seed in (1, 2)]
    assert not np.array_equal(one, two)


async def test_a_sector_moves_together_in_the_past_too() -> None:
    prices = DailyPrices.make_past([each for each in LISTING if each.instrument.exchange == "NSE"][:60], 7)
    correlations = np.corrcoef(np.diff(np.log(prices.close), axis=0).T)
    assert (correlations.sum() - len(correlations)) / (correlations.size - len(correlations)) > 0.15


async def test_dividends_of_a_history_are_those_between_its_dates(source: SampleSource) -> None:
    tcs = of(source, "NSE:TCS")
    first, last = date(2019, 1, 1), date(2022, 12, 31)
    history = await source.daily_history(tcs, first, last)
    known = [each for each in await source.dividends(tcs) if first <= each.ex_date <= last]
    assert history.dividends == known
    assert len(known) == 4
    assert history.splits == ()


async def test_only_some_pasts_are_kept(calendar: ExchangeCalendar) -> None:
    listing = [each for each in LISTING if each.instrument.exchange == "NSE"][: KEPT_PASTS + 2]
    sessions = simulated_sessions(calendar.sessions_of(Venue.INDIA), TODAY.date())
    prices = DailyPrices.make(listing, 7, TODAY.date())
    history = History(listing, {Venue.INDIA: SessionTimes.of(sessions)}, daily=lambda _: prices, seed=7)
    for each in listing:
        history.bars(each.instrument, date(2015, 1, 1), date(2015, 2, 1), TODAY)
    assert len(history._pasts) == KEPT_PASTS


def test_before_what_the_calendar_knows_every_weekday_is_a_session() -> None:
    session = Session(
        date(2020, 1, 2), datetime(2020, 1, 2, 3, 45, tzinfo=UTC), datetime(2020, 1, 2, 10, 0, tzinfo=UTC)
    )
    known = VenueSessions(Venue.INDIA, [session], known_from=date(2020, 1, 1), known_through=date(2020, 1, 3))
    simulated = simulated_sessions(known, date(2020, 1, 3))
    days = [each.date for each in simulated.sessions]
    assert days[0] == FIRST_PAST_DAY
    assert days[days.index(date(2020, 1, 2)) - 1 :][:3] == [date(2019, 12, 31), date(2020, 1, 2), date(2020, 1, 6)]
    assert session in simulated.sessions
    assert all(day.weekday() < 5 for day in days)


@pytest.mark.parametrize("capability", Capability)
def test_what_is_not_listed_is_not_covered(source: SampleSource, capability: Capability) -> None:
    assert not source.covers(capability, STRANGER)


async def test_it_knows_nothing_of_what_is_not_listed(source: SampleSource) -> None:
    with pytest.raises(NothingKnown):
        await source.daily_history(STRANGER, date(2025, 1, 1), TODAY.date())
    with pytest.raises(NothingKnown):
        await source.intraday_bars(STRANGER, date(2026, 1, 4), date(2026, 1, 4))
    with pytest.raises(NothingKnown):
        await source.stock_news(STRANGER, page=0, limit=1)
    assert await source.quotes([STRANGER]) == {}


async def bars_of_day(source: SampleSource, instrument_id: str, day: date) -> list[IntradayBar]:
    return list(await source.intraday_bars(of(source, instrument_id), day, day))


@pytest.mark.parametrize("instrument", IDS)
@pytest.mark.parametrize("day", [date(2026, 1, 6), date(2023, 1, 3), date(2014, 8, 5)])
async def test_the_bars_of_a_finished_session_make_up_its_daily_bar(
    source: SampleSource, instrument: str, day: date
) -> None:
    bars = await bars_of_day(source, instrument, day)
    daily = (await source.daily_history(of(source, instrument), day, day)).bars
    assert (bars[0].open, bars[-1].close) == (daily.open[0], daily.close[0])
    assert (max(bar.high for bar in bars), min(bar.low for bar in bars)) == (daily.high[0], daily.low[0])
    assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars)
    volumes = [bar.volume for bar in bars]
    assert daily.volume is None or sum(volume for volume in volumes if volume is not None) == daily.volume[0]
    assert (daily.volume is None) == (set(volumes) == {None})


@pytest.mark.parametrize(("instrument", "count"), [("NSE:TCS", 75), ("NASDAQ:AAPL", 78), ("FX:EURUSD", 288)])
async def test_bars_follow_each_other_through_the_whole_session(
    source: SampleSource, calendar: ExchangeCalendar, instrument: str, count: int
) -> None:
    bars = await bars_of_day(source, instrument, date(2026, 1, 6))
    assert len(bars) == count
    assert {later.begins_at - bar.begins_at for bar, later in pairwise(bars)} == {FIVE_MINUTES}
    venue = {"NSE": Venue.INDIA, "NASDAQ": Venue.UNITED_STATES, "FX": Venue.CURRENCIES}[instrument.partition(":")[0]]
    session = next(each for each in calendar.sessions_of(venue).sessions if each.date == date(2026, 1, 6))
    assert bars[0].begins_at == session.opens_at
    assert bars[-1].begins_at == session.closes_at - FIVE_MINUTES


@settings(max_examples=15)
@given(seconds=st.integers(20, 6 * 3600), seed=st.integers(0, 2))
async def test_the_bars_so_far_are_what_the_quote_says(make: Make, seconds: int, seed: int) -> None:
    opens_at = datetime(2026, 1, 7, 3, 45, tzinfo=UTC)
    source = make(opens_at + timedelta(seconds=seconds), seed=seed)
    tcs = of(source, "NSE:TCS")
    quote = (await source.quotes([tcs]))[tcs.id]
    bars = await bars_of_day(source, "NSE:TCS", date(2026, 1, 7))
    assert quote.open == bars[0].open
    assert quote.last_price == bars[-1].close
    assert quote.high == max(bar.high for bar in bars)
    assert quote.low == min(bar.low for bar in bars)
    assert quote.volume == sum(bar.volume or 0 for bar in bars)
    assert bars[-1].begins_at <= quote.provenance.as_of < bars[-1].begins_at + FIVE_MINUTES


async def test_before_the_first_tick_and_on_holidays_there_are_no_bars(make: Make) -> None:
    source = make(datetime(2026, 1, 7, 3, 45, tzinfo=UTC))
    assert await bars_of_day(source, "NSE:TCS", date(2026, 1, 7)) == []
    assert await bars_of_day(source, "NSE:TCS", date(2026, 1, 4)) == []
    assert await bars_of_day(source, "NSE:TCS", date(2027, 1, 4)) == []


async def test_several_sessions_come_oldest_first_and_no_more_than_the_newest(source: SampleSource) -> None:
    bars = await source.intraday_bars(of(source, "NSE:TCS"), date(2025, 1, 1), date(2026, 1, 6))
    begins = [bar.begins_at for bar in bars]
    assert begins == sorted(set(begins))
    assert len({begin.date() for begin in begins}) == MAX_SESSIONS
    assert begins[-1].date() == date(2026, 1, 6)
