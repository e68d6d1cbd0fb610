from datetime import UTC, datetime, timedelta

import pytest

from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.last_prices import LastPrices
from market.domain.quotes import Freshness, Provenance, Quote
from market.domain.ticks import Tick, microseconds_of

TCS = Instrument("NSE:TCS", Exchange.NSE, "TCS", "TCS Ltd.", InstrumentKind.EQUITY, "INR")
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=1)
QUOTE = Quote(
    TCS,
    100.0,
    Provenance("zerodha", NOON, Freshness.LIVE),
    previous_close=95.0,
    open=96.0,
    high=101.0,
    low=94.0,
    volume=10,
)


def tick(price: float, at: datetime = LATER, previous_close: float | None = 95.0) -> Tick:
    return Tick("NSE:TCS", price, microseconds_of(at), previous_close, 11)


@pytest.fixture
def prices() -> LastPrices:
    return LastPrices("zerodha")


@pytest.mark.parametrize(("price", "high", "low"), [(100.5, 101.0, 94.0), (102.0, 102.0, 94.0), (93.0, 101.0, 93.0)])
def test_a_newer_tick_moves_the_quote(prices: LastPrices, price: float, high: float, low: float) -> None:
    prices.record([tick(99.0), tick(price)])
    renewed = prices.refreshed(QUOTE)
    assert (renewed.last_price, renewed.high, renewed.low, renewed.open) == (price, high, low, 96.0)
    assert renewed.volume == 11
    assert renewed.provenance == Provenance("zerodha", LATER, Freshness.LIVE)
    assert len(prices) == 1


@pytest.mark.parametrize("at", [NOON, NOON - timedelta(seconds=1)])
def test_an_older_tick_changes_nothing(prices: LastPrices, at: datetime) -> None:
    prices.record([tick(99.0, at)])
    assert prices.refreshed(QUOTE) is QUOTE


def test_without_a_tick_nothing_changes(prices: LastPrices) -> None:
    assert prices.refreshed(QUOTE) is QUOTE


def test_a_tick_of_one_source_never_mixes_into_another_s_quote() -> None:
    prices = LastPrices("sample")
    prices.record([tick(99.0)])
    assert prices.refreshed(QUOTE) is QUOTE


def test_a_tick_of_a_new_session_forgets_the_old_one_s_range(prices: LastPrices) -> None:
    prices.record([tick(99.0, previous_close=100.0)])
    renewed = prices.refreshed(QUOTE)
    assert (renewed.previous_close, renewed.open, renewed.high, renewed.low) == (100.0, None, None, None)
    assert renewed.change == -1.0


def test_a_quote_without_a_range_gets_none_from_a_tick(prices: LastPrices) -> None:
    prices.record([tick(99.0)])
    renewed = prices.refreshed(Quote(TCS, 100.0, QUOTE.provenance, previous_close=95.0))
    assert (renewed.last_price, renewed.high, renewed.low) == (99.0, None, None)
