import asyncio
from datetime import UTC, datetime

import pytest

from chassis.clock import ManualClock
from portfolio.domain import instruments as instruments_module
from portfolio.domain.instruments import ASK_AGAIN_AFTER_SECONDS, CALLS_AT_ONCE, RememberedInstruments
from portfolio.domain.symbols import (
    Instrument,
    InstrumentsUnavailable,
    SymbolAmbiguous,
    SymbolInvalid,
    SymbolUnknown,
    symbol_of,
)

APPLE = Instrument("NASDAQ:AAPL", "Apple Inc.")


class Market:
    """Knows every symbol but NOPE and the ambiguous TWO, as long as it is there."""

    def __init__(self) -> None:
        self.is_away = False
        self.is_stuck = False
        self.is_broken = False
        self.asked: list[str] = []
        self.at_once = 0
        self.most_at_once = 0

    async def resolve(self, symbol: str) -> Instrument:
        self.asked.append(symbol)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await (asyncio.get_running_loop().create_future() if self.is_stuck else asyncio.sleep(0))
        self.at_once -= 1
        if self.is_broken:
            raise ZeroDivisionError
        if self.is_away:
            raise InstrumentsUnavailable
        if symbol == "NOPE":
            raise SymbolUnknown(symbol)
        if symbol == "TWO":
            raise SymbolAmbiguous("TWO could be NASDAQ:TWO or NYSE:TWO")
        return APPLE if symbol.endswith("AAPL") else Instrument(f"NYSE:{symbol}", symbol)


@pytest.fixture
def market() -> Market:
    return Market()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 3, 12, tzinfo=UTC))


@pytest.fixture
def instruments(market: Market, clock: ManualClock) -> RememberedInstruments:
    return RememberedInstruments(market, clock, max_remembered=2)


@pytest.mark.parametrize(
    ("text", "symbol"),
    [("aapl", "AAPL"), ("nse:m&m", "NSE:M&M"), ("BRK.B", "BRK.B"), ("A" * 32, "A" * 32), ("index:nifty50",) * 2],
)
def test_what_has_the_form_of_a_symbol_is_one_in_upper_case(text: str, symbol: str) -> None:
    assert symbol_of(text) == symbol.upper()


@pytest.mark.parametrize("text", ["", " AAPL", "A B", "A" * 33, "AA\0", "\u017f", ":A", "A:", "A:B:C", "-A", "A,B"])
def test_what_has_not_is_none(text: str) -> None:
    assert symbol_of(text) is None


def test_what_is_no_symbol_is_named() -> None:
    assert str(SymbolInvalid("A B")).startswith("'A B' is no symbol: 1 to 32 letters")
    assert str(SymbolInvalid("A B", "☃")).startswith("'A B', '\\u2603' are no symbols: ")


async def test_an_answer_is_remembered_for_a_while(
    instruments: RememberedInstruments, market: Market, clock: ManualClock
) -> None:
    assert await instruments.resolve("AAPL") == APPLE
    assert await instruments.resolve("AAPL") == APPLE
    assert market.asked == ["AAPL"]
    await clock.advance(ASK_AGAIN_AFTER_SECONDS)
    await instruments.resolve("AAPL")
    assert market.asked == ["AAPL", "AAPL"]


async def test_while_market_is_away_what_is_remembered_serves_however_old(
    instruments: RememberedInstruments, market: Market, clock: ManualClock
) -> None:
    await instruments.resolve("AAPL")
    market.is_away = True
    await clock.advance(ASK_AGAIN_AFTER_SECONDS * 1_000)
    assert await instruments.resolve("AAPL") == APPLE
    with pytest.raises(InstrumentsUnavailable):
        await instruments.resolve("MSFT")


async def test_what_was_asked_for_longest_ago_is_forgotten_first(
    instruments: RememberedInstruments, market: Market
) -> None:
    for symbol in ("AAPL", "MSFT", "GOOGL"):
        await instruments.resolve(symbol)
    market.is_away = True
    await instruments.resolve("MSFT")
    with pytest.raises(InstrumentsUnavailable):
        await instruments.resolve("AAPL")


async def test_of_many_each_is_said_what_it_means_or_why_nothing(
    instruments: RememberedInstruments, market: Market
) -> None:
    resolution = await instruments.resolve_all(["MSFT", "NOPE", "TWO", "AAPL", "MSFT"])
    assert list(resolution.found) == ["MSFT", "AAPL"]
    assert {symbol: type(refusal) for symbol, refusal in resolution.refused.items()} == {
        "NOPE": SymbolUnknown,
        "TWO": SymbolAmbiguous,
    }
    assert sorted(market.asked) == ["AAPL", "MSFT", "NOPE", "TWO"]


async def test_a_bounded_number_is_asked_for_at_once(instruments: RememberedInstruments, market: Market) -> None:
    await instruments.resolve_all([f"S{number}" for number in range(100)])
    assert (len(market.asked), market.most_at_once) == (100, CALLS_AT_ONCE)


async def test_when_one_cannot_be_looked_up_none_is(instruments: RememberedInstruments, market: Market) -> None:
    await instruments.resolve("AAPL")
    market.is_away = True
    with pytest.raises(InstrumentsUnavailable):
        await instruments.resolve_all(["AAPL", "MSFT"])
    assert (await instruments.resolve_all(["AAPL"])).found == {"AAPL": APPLE}


async def test_nobody_waits_for_ever(
    instruments: RememberedInstruments, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instruments_module, "PATIENCE_SECONDS", 0.01)
    market.is_stuck = True
    with pytest.raises(InstrumentsUnavailable):
        await instruments.resolve_all(["AAPL"])


async def test_a_fault_of_ours_is_not_taken_for_an_answer(instruments: RememberedInstruments, market: Market) -> None:
    market.is_broken = True
    with pytest.raises(ZeroDivisionError):
        await instruments.resolve_all(["AAPL"])
