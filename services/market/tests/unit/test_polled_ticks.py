from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import pytest

from chassis.clock import ManualClock
from market.domain.budgets import Window
from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.polled_ticks import INSTRUMENTS_A_PART, Origin, PolledTicks, pace_within
from market.domain.quote_sources import QuoteSources, SourceRefused, SourcesUnavailable
from market.domain.quotes import Freshness, Provenance, Quote
from market.domain.sessions import Session, Venue, VenueSessions
from market.domain.ticks import Tick, microseconds_of

DAY = date(2026, 1, 5)
OPENS_AT = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
NOW = OPENS_AT + timedelta(hours=1)
LIVE, DELAYED = Origin("yahoo", Freshness.LIVE), Origin("yahoo", Freshness.DELAYED)


def equity(written: str) -> Instrument:
    exchange, _, symbol = written.partition(":")
    return Instrument(written, Exchange(exchange), symbol, symbol, InstrumentKind.EQUITY, "USD")


APPLE, MICROSOFT, TCS, EURO = equity("NASDAQ:AAPL"), equity("NASDAQ:MSFT"), equity("NSE:TCS"), equity("FX:EURUSD")


def quote(
    instrument: Instrument,
    price: float,
    *,
    ago: float = 0.0,
    freshness: Freshness = Freshness.LIVE,
    source: str = "yahoo",
    volume: int | None = None,
) -> Quote:
    as_of = NOW - timedelta(seconds=ago)
    return Quote(instrument, price, Provenance(source, as_of, freshness), previous_close=99.0, volume=volume)


class OneSession:
    """A calendar of one day: New York trades, Mumbai has closed; of currencies it knows another year alone."""

    def sessions_of(self, venue: Venue) -> VenueSessions:
        ends_at = {Venue.UNITED_STATES: OPENS_AT + timedelta(hours=6), Venue.INDIA: NOW}
        if venue is Venue.CURRENCIES:
            return VenueSessions(venue, [], known_from=date(2020, 1, 1), known_through=date(2020, 12, 31))
        session = Session(DAY, OPENS_AT, ends_at[venue])
        return VenueSessions(venue, [session], known_from=DAY, known_through=DAY + timedelta(days=1))


class ToldSource:
    """Answers what it is told to, or fails."""

    is_simulated = False

    def __init__(self, name: str = "yahoo", *, answers_in_bulk: bool = True) -> None:
        self.name = name
        self.answers_in_bulk = answers_in_bulk
        self.told: dict[str, Quote] = {}
        self.failure: SourceRefused | None = None

    def instruments(self) -> Sequence[Instrument]:
        return [APPLE, MICROSOFT, TCS, EURO]

    def tell(self, *quotes: Quote) -> None:
        self.told = {each.instrument.id: each for each in quotes}

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        if self.failure is not None:
            raise self.failure
        return {each.id: self.told[each.id] for each in instruments if each.id in self.told}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def source() -> ToldSource:
    return ToldSource()


def polled(
    clock: ManualClock, *sources: ToldSource, instruments: Sequence[Instrument] = (APPLE, MICROSOFT)
) -> PolledTicks:
    asked = QuoteSources(sources, clock)
    return PolledTicks(instruments, asked, calendar=OneSession(), clock=clock)


@pytest.fixture
def ticks(clock: ManualClock, source: ToldSource) -> PolledTicks:
    return polled(clock, source)


async def news(ticks: PolledTicks) -> Mapping[Origin, Sequence[Tick]]:
    return await ticks.ask([APPLE, MICROSOFT])


class TestWhatIsNew:
    async def test_a_quote_becomes_a_tick_of_its_own_time(self, ticks: PolledTicks, source: ToldSource) -> None:
        source.tell(quote(APPLE, 200.0, ago=7, volume=10))
        at = microseconds_of(NOW - timedelta(seconds=7))
        assert await news(ticks) == {LIVE: [Tick("NASDAQ:AAPL", 200.0, at, 99.0, 10)]}

    async def test_prices_of_one_kind_come_together_and_oldest_first(
        self, ticks: PolledTicks, source: ToldSource
    ) -> None:
        source.tell(quote(APPLE, 200.0, ago=1), quote(MICROSOFT, 400.0, ago=9))
        found = await news(ticks)
        assert [tick.instrument for tick in found[LIVE]] == ["NASDAQ:MSFT", "NASDAQ:AAPL"]

    async def test_what_is_delayed_is_kept_apart(self, ticks: PolledTicks, source: ToldSource) -> None:
        source.tell(quote(APPLE, 200.0), quote(MICROSOFT, 400.0, ago=900, freshness=Freshness.DELAYED))
        found = await news(ticks)
        assert {origin: [tick.instrument for tick in of_it] for origin, of_it in found.items()} == {
            LIVE: ["NASDAQ:AAPL"],
            DELAYED: ["NASDAQ:MSFT"],
        }

    @pytest.mark.parametrize("freshness", [Freshness.STALE, Freshness.CLOSED])
    async def test_what_is_not_of_now_is_no_news(
        self, ticks: PolledTicks, source: ToldSource, freshness: Freshness
    ) -> None:
        source.tell(quote(APPLE, 200.0, freshness=freshness))
        assert await news(ticks) == {}

    @pytest.mark.parametrize(("price", "ago"), [(201.0, 5), (200.0, 4)])
    async def test_another_price_or_a_later_time_makes_a_tick(
        self, ticks: PolledTicks, source: ToldSource, price: float, ago: float
    ) -> None:
        source.tell(quote(APPLE, 200.0, ago=5))
        await news(ticks)
        source.tell(quote(APPLE, price, ago=ago))
        assert [tick.last_price for tick in (await news(ticks))[LIVE]] == [price]

    @pytest.mark.parametrize(("price", "ago"), [(200.0, 5), (201.0, 6), (200.0, 6)])
    async def test_what_was_said_before_and_what_is_older_make_none(
        self, ticks: PolledTicks, source: ToldSource, price: float, ago: float
    ) -> None:
        source.tell(quote(APPLE, 200.0, ago=5))
        await news(ticks)
        source.tell(quote(APPLE, price, ago=ago))
        assert await news(ticks) == {}

    async def test_time_runs_forward_over_all_sources(self, clock: ManualClock, source: ToldSource) -> None:
        second = ToldSource("fmp")
        ticks = polled(clock, source, second)
        source.tell(quote(APPLE, 200.0, ago=5))
        await news(ticks)
        source.tell()
        second.tell(quote(APPLE, 190.0, ago=600, source="fmp", freshness=Freshness.DELAYED))
        assert await news(ticks) == {}
        second.tell(quote(APPLE, 201.0, ago=1, source="fmp"))
        assert list(await news(ticks)) == [Origin("fmp", Freshness.LIVE)]

    async def test_what_stands_in_for_a_source_that_fails_is_no_news(
        self, ticks: PolledTicks, source: ToldSource
    ) -> None:
        source.tell(quote(APPLE, 200.0, ago=5))
        await news(ticks)
        source.failure = SourceRefused("may not be asked more often now")
        assert await news(ticks) == {}


class TestWhoIsAsked:
    async def test_a_source_that_pays_for_each_instrument_is_not(self, clock: ManualClock) -> None:
        source = ToldSource("icici", answers_in_bulk=False)
        source.tell(quote(APPLE, 200.0))
        assert await news(polled(clock, source)) == {}

    async def test_without_any_answer_it_says_so(self, ticks: PolledTicks, source: ToldSource) -> None:
        source.failure = SourceRefused("may not be asked more often now")
        with pytest.raises(SourcesUnavailable):
            await news(ticks)

    async def test_what_stands_in_is_no_answer(
        self, ticks: PolledTicks, source: ToldSource, clock: ManualClock
    ) -> None:
        assert not ticks.is_answered([APPLE, MICROSOFT])
        source.tell(quote(APPLE, 200.0))
        await news(ticks)
        assert ticks.is_answered([MICROSOFT, APPLE])
        assert not ticks.is_answered([MICROSOFT])
        await clock.advance(30)
        source.failure = SourceRefused("may not be asked more often now")
        await news(ticks)
        assert not ticks.is_answered([APPLE, MICROSOFT])

    async def test_only_what_trades_is_due(self, clock: ManualClock, source: ToldSource) -> None:
        ticks = polled(clock, source, instruments=[APPLE, TCS, EURO, MICROSOFT])
        await clock.advance(1_200)
        assert ticks.due() == [[APPLE, MICROSOFT], [EURO]]
        await clock.advance(6 * 3_600)
        assert ticks.due() == [[EURO]]
        assert ticks.is_trading

    async def test_the_last_delayed_prices_of_a_session_are_asked_for_after_its_close(
        self, clock: ManualClock, source: ToldSource
    ) -> None:
        ticks = polled(clock, source, instruments=[TCS])
        await clock.advance(1_199)
        assert ticks.due() == [[TCS]]
        assert not ticks.is_trading
        await clock.advance(1)
        assert ticks.due() == []

    def test_many_are_asked_for_in_parts_that_are_a_call_each(self, clock: ManualClock, source: ToldSource) -> None:
        many = [equity(f"NASDAQ:X{number}") for number in range(2 * INSTRUMENTS_A_PART + 1)]
        ticks = polled(clock, source, instruments=[*many, EURO])
        assert [len(part) for part in ticks.due()] == [INSTRUMENTS_A_PART, INSTRUMENTS_A_PART, 1, 1]
        assert ticks.calls_a_round == 4


@pytest.mark.parametrize(
    ("windows", "seconds"),
    [
        ([], 30.0),
        ([Window(300, 60)], 30.0),
        ([Window(60, 60), Window(1_500, 3_600)], 30.0),
        ([Window(300, 60), Window(250, 86_400)], 4_147.2),
    ],
)
def test_a_round_leaves_half_of_every_budget_to_callers(windows: Sequence[Window], seconds: float) -> None:
    assert pace_within(30.0, 6, windows) == pytest.approx(seconds)
