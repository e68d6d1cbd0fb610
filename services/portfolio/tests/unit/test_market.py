import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from chassis.clock import ManualClock
from portfolio.domain.brokers import Broker
from portfolio.domain.market import Market, MarketUnavailable, RememberedQuotes, RememberedSplits
from portfolio.domain.quotes import Freshness, Provenance, Quote, QuoteAnswer
from portfolio.domain.rows import BrokerHolding, Sync, SyncedRows
from portfolio.domain.splits import Split

NOW = datetime(2026, 3, 12, 5, 30, tzinfo=UTC)
TODAY = date(2026, 3, 12)
QUOTE = Quote(Decimal(1), None, Provenance("zerodha", NOW, Freshness.LIVE))


class Quotes:
    """Knows every instrument but those called unknown, and answers while its gate is open."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_down = False
        self.at_once = 0
        self.most_at_once = 0

    async def latest(self, instruments: Collection[str]) -> QuoteAnswer:
        self.asked.append(list(instruments))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
        finally:
            self.at_once -= 1
        if self.is_down:
            raise MarketUnavailable
        return QuoteAnswer({each: QUOTE for each in instruments if each != "NSE:UNKNOWN"}, frozenset())


class Splits:
    def __init__(self) -> None:
        self.asked: list[tuple[list[str], date]] = []
        self.is_down = False

    async def since(self, instruments: Collection[str], first: date) -> Mapping[str, Sequence[Split]]:
        self.asked.append((list(instruments), first))
        if self.is_down:
            raise MarketUnavailable
        return {each: [Split(TODAY, Fraction(2))] for each in instruments}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def source() -> Quotes:
    return Quotes()


def instruments(count: int) -> list[str]:
    return [f"NSE:S{number:04}" for number in range(count)]


async def test_an_unknown_instrument_is_neither_quoted_nor_unanswered(source: Quotes, clock: ManualClock) -> None:
    answer = await RememberedQuotes(source, clock).latest(["NSE:TCS", "NSE:UNKNOWN", "NSE:TCS"])
    assert (set(answer.quotes), answer.unanswered) == ({"NSE:TCS"}, frozenset())
    assert source.asked == [["NSE:TCS", "NSE:UNKNOWN"]]


async def test_nothing_is_asked_for_nothing(source: Quotes, clock: ManualClock) -> None:
    assert await RememberedQuotes(source, clock).latest([]) == QuoteAnswer({}, frozenset())
    assert source.asked == []


async def test_many_are_asked_for_in_batches_a_few_at_once(source: Quotes, clock: ManualClock) -> None:
    source.gate.clear()
    reading = asyncio.create_task(RememberedQuotes(source, clock).latest(instruments(1_001)))
    while source.at_once < 8:
        await asyncio.sleep(0)
    source.gate.set()
    assert len((await reading).quotes) == 1_001
    assert [len(batch) for batch in source.asked] == [50] * 20 + [1]
    assert source.most_at_once == 8


async def test_an_answer_holds_for_a_second(source: Quotes, clock: ManualClock) -> None:
    quotes = RememberedQuotes(source, clock)
    for _ in range(2):
        await quotes.latest(["NSE:TCS"])
    await clock.advance(1)
    await quotes.latest(["NSE:TCS", "NSE:INFY"])
    assert source.asked == [["NSE:TCS"], ["NSE:INFY", "NSE:TCS"]]


async def test_a_reader_who_leaves_takes_the_answer_from_nobody(source: Quotes, clock: ManualClock) -> None:
    source.gate.clear()
    quotes = RememberedQuotes(source, clock)
    first, second = (asyncio.create_task(quotes.latest(["NSE:TCS"])) for _ in range(2))
    while not source.asked:
        await asyncio.sleep(0)
    first.cancel()
    source.gate.set()
    assert set((await second).quotes) == {"NSE:TCS"}
    assert len(source.asked) == 1


async def test_a_market_that_fails_leaves_instruments_unanswered(source: Quotes, clock: ManualClock) -> None:
    source.is_down = True
    assert (await RememberedQuotes(source, clock).latest(["NSE:TCS"])).unanswered == {"NSE:TCS"}


async def test_a_market_that_hangs_is_waited_for_so_long_and_no_longer(source: Quotes, clock: ManualClock) -> None:
    source.gate.clear()
    quotes = RememberedQuotes(source, clock, patience_seconds=0.05)
    assert (await quotes.latest(["NSE:TCS"])).unanswered == {"NSE:TCS"}
    await quotes.finish()
    assert source.at_once == 0


async def test_what_is_under_way_at_the_end_is_ended(source: Quotes, clock: ManualClock) -> None:
    source.gate.clear()
    quotes = RememberedQuotes(source, clock)
    reading = asyncio.create_task(quotes.latest(["NSE:TCS"]))
    while not source.asked:
        await asyncio.sleep(0)
    await quotes.finish()
    assert (await reading).unanswered == {"NSE:TCS"}


async def test_only_so_many_instruments_are_remembered(source: Quotes, clock: ManualClock) -> None:
    quotes = RememberedQuotes(source, clock, max_remembered=2)
    assert len((await quotes.latest(instruments(3))).quotes) == 3
    await quotes.latest(instruments(3))
    assert source.asked == [instruments(3), instruments(1)]


async def test_splits_are_asked_for_from_a_months_first_and_remembered_for_minutes(clock: ManualClock) -> None:
    source = Splits()
    splits = RememberedSplits(source, clock)
    known = await splits.since(["NSE:TCS"], date(2026, 2, 20))
    assert known.known_after == date(2026, 1, 31)
    assert known.factor("NSE:TCS", after=TODAY - timedelta(days=1), through=TODAY) == 2
    await splits.since(["NSE:TCS"], date(2026, 2, 10))
    await clock.advance(300)
    await splits.since(["NSE:TCS"], date(2026, 2, 10))
    assert source.asked == [(["NSE:TCS"], date(2026, 2, 1))] * 2


async def test_earlier_splits_than_are_remembered_are_asked_for(clock: ManualClock) -> None:
    source = Splits()
    splits = RememberedSplits(source, clock)
    await splits.since(["NSE:TCS"], date(2026, 3, 5))
    await splits.since(["NSE:TCS"], date(2025, 12, 31))
    assert [first for _, first in source.asked] == [date(2026, 3, 1), date(2026, 1, 1)]


async def test_while_market_is_away_what_it_said_today_holds(clock: ManualClock) -> None:
    source = Splits()
    splits = RememberedSplits(source, clock)
    await splits.since(["NSE:TCS"], TODAY)
    source.is_down = True
    await clock.advance(3_600)
    assert set((await splits.since(["NSE:TCS", "NSE:INFY"], TODAY)).by_instrument) == {"NSE:TCS"}
    await clock.advance(24 * 3_600)
    assert (await splits.since(["NSE:TCS"], TODAY)).by_instrument == {}


async def test_a_reader_of_later_days_takes_no_earlier_splits_from_the_others(clock: ManualClock) -> None:
    source = Splits()
    splits = RememberedSplits(source, clock)
    await splits.since(["NSE:TCS"], date(2026, 1, 5))
    await clock.advance(300)
    await splits.since(["NSE:TCS", "NSE:INFY"], TODAY)
    source.is_down = True
    assert set((await splits.since(["NSE:TCS"], date(2026, 1, 5))).by_instrument) == {"NSE:TCS"}


async def test_only_so_many_splits_are_remembered(clock: ManualClock) -> None:
    source = Splits()
    splits = RememberedSplits(source, clock, max_remembered=1)
    for instrument in ("NSE:TCS", "NSE:INFY", "NSE:TCS"):
        await splits.since([instrument], TODAY)
    assert len(source.asked) == 3


def rows(*symbols: str, exchange: str = "NSE") -> SyncedRows:
    sync = Sync("id", "7", Broker.ZERODHA, NOW, NOW, False)
    return SyncedRows(sync, tuple(BrokerHolding(exchange, each, Decimal(1), Decimal(0)) for each in symbols), ())


async def test_quotes_and_splits_are_asked_for_of_what_market_can_know(source: Quotes, clock: ManualClock) -> None:
    splits = Splits()
    market = Market(RememberedQuotes(source, clock), RememberedSplits(splits, clock))
    view = await market.view([rows("TCS", "A B"), rows("GOLD", exchange="MCX")], day=TODAY)
    assert (source.asked, splits.asked) == ([["NSE:TCS"]], [(["NSE:TCS"], date(2026, 3, 1))])
    assert (set(view.quotes.quotes), set(view.splits.by_instrument), view.day) == ({"NSE:TCS"}, {"NSE:TCS"}, TODAY)


async def test_market_is_not_asked_when_it_can_know_nothing(source: Quotes, clock: ManualClock) -> None:
    market = Market(RememberedQuotes(source, clock), RememberedSplits(Splits(), clock))
    view = await market.view([rows("GOLD", exchange="MCX")], day=TODAY)
    assert (source.asked, view.quotes.quotes) == ([], {})
