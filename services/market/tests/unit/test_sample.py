import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.clock import ManualClock
from market.domain.instruments import Instrument
from market.domain.quotes import Freshness
from market.domain.sessions import Session, Venue
from market.domain.ticks import Tick, microseconds_of
from market.providers.calendars.exchanges import ExchangeCalendar, load_calendar
from market.providers.reference.listing import read_listing
from market.providers.sample.daily import DailyPrices
from market.providers.sample.source import SampleSource

LISTING = read_listing()
SOME = [each for each in LISTING if each.instrument.symbol in ("TCS", "INFY", "AAPL", "NIFTY50", "EURUSD", "NIFTYBEES")]
TODAY = datetime(2026, 1, 7, 6, 0, tzinfo=UTC)  # a Wednesday, NSE trades
SUNDAY = datetime(2026, 1, 4, 6, 0, tzinfo=UTC)
SECOND = 1_000_000

Make = Callable[..., SampleSource]


@pytest.fixture(scope="module")
def calendar() -> ExchangeCalendar:
    return load_calendar(TODAY.date())


@pytest.fixture(scope="module")
def make(calendar: ExchangeCalendar) -> Make:
    def make(now: datetime = TODAY, *, seed: int = 7, tick_seconds: float = 30.0, always: bool = False) -> SampleSource:
        return SampleSource(
            SOME, calendar, ManualClock(now), seed=seed, tick_seconds=tick_seconds, is_always_open=always
        )

    return make


@pytest.fixture(scope="module")
def closed(make: Make) -> SampleSource:
    return make()


@pytest.fixture(scope="module")
def always_open(make: Make) -> SampleSource:
    return make(always=True)


def session_of(calendar: ExchangeCalendar, venue: Venue, day: date) -> Session:
    return next(each for each in calendar.sessions_of(venue).sessions if each.date == day)


def instrument_of(source: SampleSource, instrument: str) -> Instrument:
    return next(each for each in source.instruments() if each.id == instrument)


def ticks_of(source: SampleSource, instrument: str, begin: datetime, end: datetime) -> Sequence[Tick]:
    ticks = source.ticks_between(microseconds_of(begin) - 1, microseconds_of(end))
    return [tick for tick in ticks if tick.instrument == instrument]


def venue_day(instrument: str) -> tuple[Venue, date]:
    exchange, _, symbol = instrument.partition(":")
    if exchange == "FX":
        return Venue.CURRENCIES, date(2026, 1, 6)
    is_american = exchange == "NASDAQ" or symbol == "SP500"
    return Venue.UNITED_STATES if is_american else Venue.INDIA, date(2026, 1, 6)


@pytest.mark.parametrize("instrument", [each.instrument.id for each in SOME])
def test_a_finished_session_s_ticks_agree_with_its_bar(
    closed: SampleSource, calendar: ExchangeCalendar, instrument: str
) -> None:
    venue, day = venue_day(instrument)
    session = session_of(calendar, venue, day)
    ticks = ticks_of(closed, instrument, session.opens_at, session.closes_at - timedelta(microseconds=1))
    bars = closed.bars_at(instrument_of(closed, instrument), session.closes_at, 2)
    prices = [tick.last_price for tick in ticks]
    assert bars.last_session == day
    assert (prices[0], max(prices), min(prices), prices[-1]) == (
        bars.open[-1],
        bars.high[-1],
        bars.low[-1],
        bars.close[-1],
    )
    assert ticks[-1].volume == (None if bars.volume is None else bars.volume[-1])
    assert {tick.previous_close for tick in ticks} == {bars.close[-2]}
    assert len(ticks) == (session.closes_at - session.opens_at) // timedelta(seconds=30)


@settings(max_examples=20)
@given(seconds=st.integers(1, 6 * 3600), seed=st.integers(0, 3))
def test_a_quote_is_what_the_ticks_so_far_say(make: Make, calendar: ExchangeCalendar, seconds: int, seed: int) -> None:
    source = make(seed=seed)
    session = session_of(calendar, Venue.INDIA, date(2026, 1, 6))
    moment = session.opens_at + timedelta(seconds=30 + seconds)
    tcs = instrument_of(source, "NSE:TCS")
    ticks = ticks_of(source, tcs.id, session.opens_at, moment)
    quote = source.quotes_at([tcs], moment)[tcs.id]
    prices = [tick.last_price for tick in ticks]
    assert (quote.open, quote.high, quote.low, quote.last_price, quote.volume) == (
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
        ticks[-1].volume,
    )
    assert quote.provenance.as_of == ticks[-1].at
    assert quote.previous_close == ticks[-1].previous_close


@settings(max_examples=20)
@given(
    start=st.integers(0, 7 * 24 * 3600),
    cuts=st.lists(st.integers(0, 600 * SECOND), min_size=1, max_size=5).map(sorted),
    always=st.booleans(),
)
def test_slices_of_time_add_up_without_loss_or_repeat(make: Make, start: int, cuts: list[int], *, always: bool) -> None:
    source = make(always=always)
    begin = microseconds_of(SUNDAY + timedelta(seconds=start))
    edges = [begin, *(begin + cut for cut in cuts)]
    pieces = [tick for after, until in pairwise(edges) for tick in source.ticks_between(after, until)]
    assert pieces == source.ticks_between(begin, edges[-1])


@settings(max_examples=12)
@given(started=st.integers(0, 900), moment=st.integers(0, 7 * 24 * 3600), always=st.booleans())
def test_it_does_not_matter_when_it_was_started(make: Make, started: int, moment: int, *, always: bool) -> None:
    at = SUNDAY + timedelta(seconds=moment)
    early, late = make(SUNDAY - timedelta(days=started), always=always), make(always=always)
    window = microseconds_of(at), microseconds_of(at + timedelta(minutes=2))
    assert early.ticks_between(*window) == late.ticks_between(*window)
    assert early.quotes_at(early.instruments(), at) == late.quotes_at(late.instruments(), at)


def test_another_seed_is_another_market(make: Make) -> None:
    window = microseconds_of(TODAY), microseconds_of(TODAY + timedelta(minutes=5))
    assert make(seed=1).ticks_between(*window) != make(seed=2).ticks_between(*window)


def test_later_days_do_not_change_earlier_ones() -> None:
    short, long = (DailyPrices.make(LISTING, 7, day) for day in (date(2025, 6, 1), date(2026, 6, 1)))
    days = len(short.close)
    for name in ("open", "high", "low", "close", "volume"):
        np.testing.assert_array_equal(getattr(short, name), getattr(long, name)[:days])


def test_nothing_trades_on_a_sunday(closed: SampleSource) -> None:
    assert closed.ticks_between(microseconds_of(SUNDAY), microseconds_of(SUNDAY + timedelta(hours=2))) == []
    quote = closed.quotes_at(closed.instruments(), SUNDAY)["NSE:TCS"]
    friday = closed.bars_at(quote.instrument, SUNDAY, 2)
    assert quote.last_price == friday.close[-1]
    assert quote.previous_close == friday.close[-2]
    assert (quote.open, quote.high, quote.low) == (friday.open[-1], friday.high[-1], friday.low[-1])


def test_always_open_moves_on_a_sunday_from_friday_s_close_to_monday_s_open(
    always_open: SampleSource, calendar: ExchangeCalendar
) -> None:
    friday = session_of(calendar, Venue.INDIA, date(2026, 1, 2))
    monday = session_of(calendar, Venue.INDIA, date(2026, 1, 5))
    tcs = instrument_of(always_open, "NSE:TCS")
    ticks = ticks_of(always_open, "NSE:TCS", friday.closes_at, monday.opens_at - timedelta(microseconds=1))
    bars = always_open.bars_at(tcs, monday.closes_at, 2)
    assert (ticks[0].last_price, ticks[-1].last_price) == (bars.close[0], bars.open[1])
    assert len({tick.last_price for tick in ticks}) > 100
    quote = always_open.quotes_at([tcs], SUNDAY)["NSE:TCS"]
    assert quote.previous_close == bars.close[0]
    # The range since the close; nothing is said to be traded.
    assert (quote.open, quote.volume) == (bars.close[0], None)
    assert quote.low is not None
    assert quote.high is not None
    assert quote.low <= quote.last_price <= quote.high


def test_right_after_the_open_what_has_not_ticked_yet_stands_where_it_stood(
    closed: SampleSource, calendar: ExchangeCalendar
) -> None:
    session = session_of(calendar, Venue.INDIA, date(2026, 1, 6))
    before = closed.quotes_at(closed.instruments(), session.opens_at - timedelta(seconds=1))
    at_open = closed.quotes_at(closed.instruments(), session.opens_at)
    assert at_open["NSE:TCS"] == before["NSE:TCS"]
    after = closed.quotes_at(closed.instruments(), session.opens_at + timedelta(seconds=30))
    assert after["NSE:TCS"].previous_close == before["NSE:TCS"].last_price


def test_everything_says_that_it_is_simulated(always_open: SampleSource) -> None:
    quotes = always_open.quotes_at(always_open.instruments(), TODAY)
    assert len(quotes) == len(SOME)
    assert {(quote.provenance.source, quote.provenance.freshness) for quote in quotes.values()} == {
        ("sample", Freshness.SIMULATED)
    }
    assert always_open.is_simulated
    assert always_open.freshness is Freshness.SIMULATED


def test_past_the_calendar_s_last_date_the_simulation_goes_on_every_weekday(make: Make) -> None:
    thursday = datetime(2027, 4, 1, 6, 0, tzinfo=UTC)
    source = make(thursday)
    assert ticks_of(source, "NSE:TCS", thursday, thursday + timedelta(minutes=1))
    assert not ticks_of(source, "NSE:TCS", thursday + timedelta(days=2), thursday + timedelta(days=2, minutes=1))


def test_a_process_that_outlives_its_horizon_makes_more_days(make: Make) -> None:
    old = make(datetime(2024, 6, 3, tzinfo=UTC))
    moment = datetime(2026, 1, 7, 7, 0, tzinfo=UTC)
    assert old.quotes_at(old.instruments(), moment) == make().quotes_at(old.instruments(), moment)


def test_before_its_first_day_it_has_no_price(closed: SampleSource) -> None:
    long_ago = datetime(2022, 12, 1, tzinfo=UTC)
    assert closed.quotes_at(closed.instruments(), long_ago) == {}
    assert closed.ticks_between(microseconds_of(long_ago), microseconds_of(long_ago) + SECOND) == []
    assert len(closed.bars_at(closed.instruments()[0], long_ago, 10)) == 0


def test_there_are_five_hundred_sessions_of_history(closed: SampleSource) -> None:
    assert {len(closed.bars_at(each, TODAY, 500)) for each in closed.instruments()} == {500}


async def test_its_ports_answer_for_the_clock_s_now(closed: SampleSource) -> None:
    instruments = closed.instruments()
    assert await closed.quotes(instruments) == closed.quotes_at(instruments, TODAY)
    bars = await closed.daily_bars(instruments, count=3)
    assert [each.instrument for each in bars] == [each.id for each in instruments]
    assert {len(each) for each in bars} == {3}


async def test_slices_come_every_ten_milliseconds_and_hold_every_tick(calendar: ExchangeCalendar) -> None:
    clock = ManualClock(TODAY)
    source = SampleSource(SOME, calendar, clock, seed=7, tick_seconds=0.1, is_always_open=True)
    seen: list[Tick] = []

    async def watch() -> None:
        async for ticks in source.slices():
            seen.extend(ticks)
            if seen[-1].at_microseconds >= microseconds_of(TODAY) + SECOND:
                return

    watching = asyncio.create_task(watch())
    while not watching.done():
        await clock.advance(0.010)
    assert len(seen) == pytest.approx(10 * len(SOME), abs=len(SOME))
    assert seen == source.ticks_between(microseconds_of(TODAY), seen[-1].at_microseconds)


async def test_a_stalled_process_goes_on_from_now(calendar: ExchangeCalendar) -> None:
    clock = ManualClock(TODAY)
    source = SampleSource(SOME, calendar, clock, seed=7, tick_seconds=1.0, is_always_open=True)
    slices = source.slices()
    resumed = asyncio.ensure_future(anext(slices))
    await asyncio.sleep(0)
    clock.now = lambda: TODAY + timedelta(hours=1)  # type: ignore[method-assign]  # an hour passes within one sleep
    await clock.advance(0.010)
    ticks = await resumed
    assert ticks[0].at_microseconds > microseconds_of(TODAY + timedelta(hours=1)) - SECOND
    assert len(ticks) == len(SOME)


async def test_a_closed_market_rests_until_it_opens(calendar: ExchangeCalendar) -> None:
    clock = ManualClock(SUNDAY)
    source = SampleSource(SOME, calendar, clock, seed=7, tick_seconds=1.0, is_always_open=False)
    first = asyncio.ensure_future(anext(source.slices()))
    while not first.done():
        await clock.advance(1.0)
    opens_at = session_of(calendar, Venue.CURRENCIES, date(2026, 1, 5)).opens_at
    ticks = await first
    assert {tick.instrument for tick in ticks} == {"FX:EURUSD"}
    assert 0 <= ticks[0].at_microseconds - microseconds_of(opens_at) < SECOND


def test_prices_stay_near_their_level() -> None:
    prices = DailyPrices.make(LISTING, 7, date(2027, 1, 1))
    levels = np.array([each.price * each.steps_per_unit for each in LISTING])
    ratio = prices.close / levels
    assert ratio.min() > 0.5
    assert ratio.max() < 2.0


def test_the_bars_of_every_day_are_sound() -> None:
    prices = DailyPrices.make(LISTING, 11, date(2027, 1, 1))
    assert (prices.low <= np.minimum(prices.open, prices.close)).all()
    assert (prices.high >= np.maximum(prices.open, prices.close)).all()
    assert (prices.low > 0).all()


def test_a_sector_moves_together() -> None:
    prices = DailyPrices.make(LISTING, 7, date(2027, 1, 1))
    moves = np.diff(np.log(prices.close), axis=0)
    nse = [column for column, each in enumerate(LISTING) if each.instrument.exchange == "NSE"]
    sectors = np.array([LISTING[column].instrument.sector for column in nse])
    correlations = np.corrcoef(moves[:, nse].T)
    is_same = sectors[:, None] == sectors[None, :]
    is_other_pair = ~np.eye(len(nse), dtype=bool)
    within = correlations[is_same & is_other_pair].mean()
    across = correlations[~is_same].mean()
    assert within > across + 0.1
    assert across > 0.15


def test_the_very_first_session_has_no_previous_close(closed: SampleSource, calendar: ExchangeCalendar) -> None:
    first = session_of(calendar, Venue.INDIA, date(2023, 1, 2))
    tcs = instrument_of(closed, "NSE:TCS")
    assert closed.quotes_at([tcs], first.opens_at) == {}
    quote = closed.quotes_at([tcs], first.opens_at + timedelta(minutes=1))[tcs.id]
    assert quote.previous_close is None
    assert quote.change is None
    assert {tick.previous_close for tick in ticks_of(closed, tcs.id, first.opens_at, first.closes_at)} == {None}


def test_looking_back_and_forth_changes_nothing(closed: SampleSource) -> None:
    moments = [TODAY - timedelta(days=days) for days in range(12)]
    there = [closed.quotes_at(closed.instruments(), moment) for moment in moments]
    back = [closed.quotes_at(closed.instruments(), moment) for moment in reversed(moments)]
    assert there == back[::-1]


def test_its_configuration_tells_markets_apart(make: Make) -> None:
    assert make(seed=1).configuration == make(seed=1, always=True).configuration
    assert make(seed=1).configuration != make(seed=2).configuration
