from datetime import UTC, datetime

import pytest

from alerts.domain.ids import AlertIds
from alerts.domain.instruments import (
    ASK_AGAIN_AFTER_SECONDS,
    InstrumentsUnavailable,
    RememberedInstruments,
    SymbolInvalid,
    SymbolUnknown,
)
from chassis.clock import ManualClock

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)


class Market:
    """Knows AAPL, as long as it is there."""

    def __init__(self) -> None:
        self.is_away = False
        self.asked: list[str] = []

    async def resolve(self, symbol: str) -> str:
        self.asked.append(symbol)
        if self.is_away:
            raise InstrumentsUnavailable
        if symbol not in {"AAPL", "NASDAQ:AAPL"}:
            raise SymbolUnknown(f"{symbol} names no known instrument")
        return "NASDAQ:AAPL"


@pytest.fixture
def market() -> Market:
    return Market()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def instruments(market: Market, clock: ManualClock) -> RememberedInstruments:
    return RememberedInstruments(market, clock, max_remembered=1)


async def test_an_answer_is_remembered_for_a_while(
    instruments: RememberedInstruments, market: Market, clock: ManualClock
) -> None:
    assert await instruments.resolve("aapl") == "NASDAQ:AAPL"
    assert await instruments.resolve("AAPL") == "NASDAQ:AAPL"
    assert market.asked == ["AAPL"]
    await clock.advance(ASK_AGAIN_AFTER_SECONDS)
    await instruments.resolve("AAPL")
    assert market.asked == ["AAPL", "AAPL"]


async def test_while_market_is_away_what_is_remembered_serves(
    instruments: RememberedInstruments, market: Market, clock: ManualClock
) -> None:
    await instruments.resolve("AAPL")
    market.is_away = True
    await clock.advance(24 * 3600)
    assert await instruments.resolve("AAPL") == "NASDAQ:AAPL"
    with pytest.raises(InstrumentsUnavailable):
        await instruments.resolve("MSFT")


async def test_what_market_refuses_is_not_remembered(instruments: RememberedInstruments, market: Market) -> None:
    for _ in range(2):
        with pytest.raises(SymbolUnknown):
            await instruments.resolve("NOPE")
    assert market.asked == ["NOPE", "NOPE"]


async def test_the_memory_is_bounded(instruments: RememberedInstruments, market: Market) -> None:
    await instruments.resolve("AAPL")
    await instruments.resolve("NASDAQ:AAPL")
    await instruments.resolve("AAPL")
    assert market.asked == ["AAPL", "NASDAQ:AAPL", "AAPL"]


@pytest.mark.parametrize("symbol", ["", "\u0131bm", "A" * 33])
async def test_what_cannot_be_a_symbol_is_not_even_asked_for(
    instruments: RememberedInstruments, market: Market, symbol: str
) -> None:
    with pytest.raises(SymbolInvalid):
        await instruments.resolve(symbol)
    assert market.asked == []


async def test_later_ids_are_larger_and_fit_into_63_bits(clock: ManualClock) -> None:
    largest, smallest = AlertIds(clock, lambda bits: 2**bits - 1), AlertIds(clock, lambda _: 0)
    first = largest()
    await clock.advance(0.001)
    assert 0 < first < smallest() < 2**63
