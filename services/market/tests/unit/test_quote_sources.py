import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest

from chassis.clock import ManualClock
from market.domain.instruments import (
    Exchange,
    Instrument,
    InstrumentDirectory,
    InstrumentKind,
    Listing,
    SymbolInvalid,
    SymbolUnknown,
)
from market.domain.last_prices import LastPrices
from market.domain.quote_board import QuoteBoard
from market.domain.quote_sources import QuoteSources, SourceRefused, SourcesMixed, SourcesUnavailable
from market.domain.quotes import Freshness, Provenance, Quote
from market.domain.reuse import Reuse
from market.domain.symbol_batches import MAX_SYMBOLS, Missing, MissingSymbol, SymbolsEmpty, TooManySymbols
from market.domain.ticks import Tick, microseconds_of

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def equity(instrument_id: str) -> Instrument:
    exchange, _, symbol = instrument_id.partition(":")
    return Instrument(instrument_id, Exchange(exchange), symbol, symbol, InstrumentKind.EQUITY, "INR")


TCS, INFY, BSE_TCS = equity("NSE:TCS"), equity("NSE:INFY"), equity("BSE:TCS")
TWINS = equity("NASDAQ:TWIN"), equity("NYSE:TWIN")
APPLE = equity("NASDAQ:AAPL")


class FakeSource:
    """A source that answers from a table, fails, hangs or waits, as told, and remembers what it was asked."""

    def __init__(
        self, name: str, prices: dict[Instrument, float | None], freshness: Freshness = Freshness.LIVE
    ) -> None:
        self.name = name
        self.is_simulated = freshness is Freshness.SIMULATED
        self.answers_in_bulk = True
        self.prices = prices
        self.freshness = freshness
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[list[str]] = []

    def instruments(self) -> Sequence[Instrument]:
        return list(self.prices)

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        self.asked.append([each.id for each in instruments])
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        provenance = Provenance(self.name, NOON, self.freshness)
        prices = {each: self.prices[each] for each in instruments}
        return {each.id: Quote(each, price, provenance) for each, price in prices.items() if price is not None}


class OneFreshness:
    """Judges everything alike."""

    def __init__(self, freshness: Freshness) -> None:
        self.freshness = freshness

    def of(self, instrument: Instrument, as_of: datetime) -> Freshness:
        return self.freshness


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def first() -> FakeSource:
    return FakeSource("first", {TCS: 1.0, INFY: 2.0})


@pytest.fixture
def second() -> FakeSource:
    return FakeSource("second", {TCS: 10.0, INFY: 20.0, BSE_TCS: 30.0, APPLE: None})


@pytest.fixture
def sources(first: FakeSource, second: FakeSource, clock: ManualClock) -> QuoteSources:
    return QuoteSources([first, second], clock, timeout_seconds=0.05, keep_seconds=60.0)


def brief(quotes: Mapping[str, Quote]) -> dict[str, tuple[float, str, Freshness]]:
    return {
        each: (quote.last_price, quote.provenance.source, quote.provenance.freshness) for each, quote in quotes.items()
    }


async def test_the_first_source_that_has_an_instrument_is_believed(
    sources: QuoteSources, first: FakeSource, second: FakeSource
) -> None:
    quotes = await sources.latest([TCS, BSE_TCS])
    assert brief(quotes) == {"NSE:TCS": (1.0, "first", Freshness.LIVE), "BSE:TCS": (30.0, "second", Freshness.LIVE)}
    assert (first.asked, second.asked) == ([["NSE:TCS"]], [["BSE:TCS"]])


async def test_a_source_that_has_no_price_leaves_it_to_the_next(sources: QuoteSources, first: FakeSource) -> None:
    first.prices[TCS] = None
    assert brief(await sources.latest([TCS])) == {"NSE:TCS": (10.0, "second", Freshness.LIVE)}


@pytest.mark.parametrize("failure", [RuntimeError("broken"), TimeoutError(), OSError("unreachable")])
async def test_a_source_that_fails_is_passed_over(sources: QuoteSources, first: FakeSource, failure: Exception) -> None:
    first.failure = failure
    assert brief(await sources.latest([TCS])) == {"NSE:TCS": (10.0, "second", Freshness.LIVE)}


async def test_a_source_that_hangs_is_passed_over(sources: QuoteSources, first: FakeSource) -> None:
    first.gate.clear()
    assert brief(await sources.latest([TCS])) == {"NSE:TCS": (10.0, "second", Freshness.LIVE)}


async def test_a_source_that_keeps_failing_is_left_alone_and_tried_again(
    sources: QuoteSources, first: FakeSource, clock: ManualClock
) -> None:
    first.failure = RuntimeError("broken")
    for _ in range(5):
        await sources.latest([TCS])
    assert len(first.asked) == 3
    assert sources.failing == ["first"]
    await clock.advance(10.0)
    first.failure = None
    assert brief(await sources.latest([TCS])) == {"NSE:TCS": (1.0, "first", Freshness.LIVE)}
    assert sources.failing == []


async def test_the_last_answer_stands_in_for_a_while_and_is_marked_stale(
    sources: QuoteSources, first: FakeSource, second: FakeSource, clock: ManualClock
) -> None:
    await sources.latest([TCS])
    first.failure = second.failure = RuntimeError("broken")
    await clock.advance(60.0)
    assert brief(await sources.latest([TCS, INFY])) == {"NSE:TCS": (1.0, "first", Freshness.STALE)}
    await clock.advance(0.1)
    with pytest.raises(SourcesUnavailable):
        await sources.latest([TCS])


async def test_a_price_that_a_source_no_longer_has_is_not_made_up(sources: QuoteSources, second: FakeSource) -> None:
    await sources.latest([BSE_TCS])
    second.prices[BSE_TCS] = None
    assert await sources.latest([BSE_TCS]) == {}


async def test_callers_who_ask_for_the_same_share_one_call(sources: QuoteSources, first: FakeSource) -> None:
    first.gate.clear()
    both, one, again = (asyncio.create_task(sources.latest(each)) for each in ([TCS], [TCS, INFY], [TCS]))
    await asyncio.sleep(0)
    first.gate.set()
    assert brief(await one).keys() == {"NSE:TCS", "NSE:INFY"}
    assert brief(await both) == brief(await again)
    assert first.asked == [["NSE:TCS"], ["NSE:INFY"]]
    await sources.latest([TCS])
    assert len(first.asked) == 3


async def test_who_stops_waiting_cancels_nobody_else(sources: QuoteSources, first: FakeSource) -> None:
    first.gate.clear()
    leaving, staying = (asyncio.create_task(sources.latest([TCS])) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    first.gate.set()
    assert brief(await staying) == {"NSE:TCS": (1.0, "first", Freshness.LIVE)}


def test_a_call_under_way_when_all_ends_is_dropped_without_a_complaint(
    sources: QuoteSources, first: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask_and_leave() -> None:
        first.gate.clear()
        asking = asyncio.create_task(sources.latest([TCS]))
        while not first.asked:
            await asyncio.sleep(0)
        assert not asking.done()

    asyncio.run(ask_and_leave())
    assert not caplog.records


def test_real_and_simulated_sources_never_stand_in_for_each_other(first: FakeSource, clock: ManualClock) -> None:
    simulated = FakeSource("sample", {TCS: 5.0}, Freshness.SIMULATED)
    with pytest.raises(SourcesMixed, match="cannot stand in for each other: first, sample"):
        QuoteSources([first, simulated], clock)


async def test_when_nobody_answers_it_is_said_why(
    sources: QuoteSources, first: FakeSource, second: FakeSource, clock: ManualClock
) -> None:
    first.failure = SourceRefused("has no active session", retry_after_seconds=30.0)
    second.failure = RuntimeError("internals that nobody should read")
    told = "no source of prices is answering: first has no active session, second did not answer; try again shortly"
    for _ in range(4):  # by the fourth time both are left alone
        with pytest.raises(SourcesUnavailable) as raised:
            await sources.latest([TCS])
        assert raised.value.message == told
    assert len(first.asked) == len(second.asked) == 3


async def test_a_source_that_says_when_to_come_back_is_not_left_alone_for_longer(
    sources: QuoteSources, first: FakeSource, clock: ManualClock
) -> None:
    first.failure = SourceRefused("may not be asked more often now", retry_after_seconds=1.0)
    for _ in range(4):
        await sources.latest([TCS])
    assert len(first.asked) == 3
    await clock.advance(1.0)
    first.failure = None
    assert brief(await sources.latest([TCS])) == {"NSE:TCS": (1.0, "first", Freshness.LIVE)}


async def test_in_bulk_only_sources_are_asked_that_can_bear_it(
    sources: QuoteSources, first: FakeSource, second: FakeSource, clock: ManualClock
) -> None:
    second.answers_in_bulk = False
    sources = QuoteSources([first, second], clock)
    assert brief(await sources.latest([TCS, BSE_TCS], in_bulk=True)) == {"NSE:TCS": (1.0, "first", Freshness.LIVE)}
    assert second.asked == []


@pytest.fixture
def frugal(first: FakeSource, second: FakeSource, last_prices: LastPrices, clock: ManualClock) -> QuoteSources:
    rule = OneFreshness(Freshness.LIVE)
    reuse = Reuse({"first": 5.0}, last_prices=last_prices, rule=rule, clock=clock)
    return QuoteSources([first, second], clock, timeout_seconds=0.05, keep_seconds=60.0, reuse=reuse)


async def test_an_answer_is_given_again_until_its_source_should_be_asked(
    frugal: QuoteSources, first: FakeSource, clock: ManualClock
) -> None:
    await frugal.latest([TCS])
    await clock.advance(4.9)
    first.prices[TCS] = 1.5
    assert brief(await frugal.latest([TCS, INFY])) == {
        "NSE:TCS": (1.0, "first", Freshness.LIVE),
        "NSE:INFY": (2.0, "first", Freshness.LIVE),
    }
    assert first.asked == [["NSE:TCS"], ["NSE:INFY"]]
    await clock.advance(0.1)
    assert brief(await frugal.latest([TCS]))["NSE:TCS"][0] == 1.5


async def test_a_source_without_a_price_is_not_asked_for_it_again_so_soon(
    frugal: QuoteSources, first: FakeSource, second: FakeSource, clock: ManualClock
) -> None:
    first.prices[TCS] = second.prices[TCS] = None
    await frugal.latest([TCS])
    await clock.advance(4.9)
    assert await frugal.latest([TCS]) == {}
    assert first.asked == [["NSE:TCS"]]
    first.prices[TCS] = 1.5
    await clock.advance(0.1)
    assert brief(await frugal.latest([TCS])) == {"NSE:TCS": (1.5, "first", Freshness.LIVE)}


async def test_an_answer_that_still_serves_is_not_made_stale_by_a_failure(
    frugal: QuoteSources, first: FakeSource, second: FakeSource
) -> None:
    await frugal.latest([TCS])
    first.failure = second.failure = RuntimeError("broken")
    assert brief(await frugal.latest([TCS, INFY])) == {"NSE:TCS": (1.0, "first", Freshness.LIVE)}


# --- the board


@pytest.fixture
def last_prices() -> LastPrices:
    return LastPrices(OneFreshness(Freshness.LIVE))


@pytest.fixture
def board(sources: QuoteSources, last_prices: LastPrices) -> QuoteBoard:
    return QuoteBoard(InstrumentDirectory([TCS, INFY, BSE_TCS, APPLE, *TWINS]), sources, last_prices)


async def test_symbols_are_answered_in_order_in_the_caller_s_form_and_folded(board: QuoteBoard) -> None:
    answer = await board.quote(["infy", "NSE:TCS", "TCS", "nse:infy"], Listing.INDIA)
    assert [(each.symbol, each.value.instrument.id) for each in answer.quoted] == [
        ("infy", "NSE:INFY"),
        ("NSE:TCS", "NSE:TCS"),
    ]
    assert answer.missing == []


async def test_what_has_no_quote_is_listed_with_its_reason(board: QuoteBoard) -> None:
    answer = await board.quote(["NOSUCH", "TWIN", "NASDAQ:AAPL", "NSE:TCS", "nosuch"], Listing.UNITED_STATES)
    assert [each.symbol for each in answer.quoted] == ["NSE:TCS"]
    assert answer.missing == [
        MissingSymbol("NOSUCH", Missing.SYMBOL_UNKNOWN),
        MissingSymbol("TWIN", Missing.SYMBOL_AMBIGUOUS),
        MissingSymbol("NASDAQ:AAPL", Missing.NO_PRICE),
    ]


async def test_only_unknown_symbols_are_an_error_that_names_them(board: QuoteBoard) -> None:
    with pytest.raises(SymbolUnknown, match="'NSE:A', 'NSE:B' name no known instrument"):
        await board.quote(["NSE:A", "NSE:B", "nse:a"], Listing.INDIA)


async def test_unknown_and_ambiguous_symbols_together_are_all_listed(board: QuoteBoard) -> None:
    answer = await board.quote(["NOSUCH", "TWIN"], Listing.UNITED_STATES)
    assert [each.reason for each in answer.missing] == [Missing.SYMBOL_UNKNOWN, Missing.SYMBOL_AMBIGUOUS]


async def test_a_malformed_symbol_fails_the_whole_request(board: QuoteBoard) -> None:
    with pytest.raises(SymbolInvalid):
        await board.quote(["NSE:TCS", "NSE:\x00"], Listing.INDIA)


async def test_no_symbols_and_too_many_are_refused(board: QuoteBoard) -> None:
    with pytest.raises(SymbolsEmpty):
        await board.quote([], Listing.INDIA)
    with pytest.raises(TooManySymbols, match="51 symbols were asked for; at most 50"):
        await board.quote(["TCS"] * (MAX_SYMBOLS + 1), Listing.INDIA)
    assert len((await board.quote(["TCS"] * MAX_SYMBOLS, Listing.INDIA)).quoted) == 1


async def test_a_newer_tick_is_in_the_answer(board: QuoteBoard, last_prices: LastPrices) -> None:
    last_prices.record("first", [Tick("NSE:TCS", 1.5, microseconds_of(NOON) + 1)])
    answer = await board.quote(["TCS"], Listing.INDIA)
    assert answer.quoted[0].value.last_price == 1.5
