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


class OneFreshness:
    """Judges everything alike, as it is told."""

    def __init__(self) -> None:
        self.freshness = Freshness.LIVE

    def of(self, instrument: Instrument, as_of: datetime) -> Freshness:
        return self.freshness


@pytest.fixture
def rule() -> OneFreshness:
    return OneFreshness()


@pytest.fixture
def prices(rule: OneFreshness) -> LastPrices:
    return LastPrices(rule)


@pytest.mark.parametrize(("price", "high", "low"), [(100.5, 101.0, 94.0), (102.0, 102.0, 94.0), (93.0, 101.0, 93.0)])
def test_a_newer_tick_moves_the_quote(prices: LastPrices, price: float, high: float, low: float) -> None:
    prices.record("zerodha", [tick(99.0), tick(price)])
    renewed = prices.refreshed(QUOTE)
    assert (renewed.last_price, renewed.high, renewed.low, renewed.open) == (price, high, low, 96.0)
    assert renewed.volume == 11
    assert renewed.provenance == Provenance("zerodha", LATER, Freshness.LIVE)
    assert len(prices) == 1


@pytest.mark.parametrize("at", [NOON, NOON - timedelta(seconds=1)])
def test_an_older_tick_changes_nothing(prices: LastPrices, at: datetime) -> None:
    prices.record("zerodha", [tick(99.0, at)])
    assert prices.refreshed(QUOTE) is QUOTE


def test_without_a_tick_nothing_changes(prices: LastPrices) -> None:
    assert prices.refreshed(QUOTE) is QUOTE


def test_a_tick_of_one_source_never_mixes_into_another_s_quote(prices: LastPrices) -> None:
    prices.record("icici", [tick(99.0)])
    assert prices.refreshed(QUOTE) is QUOTE


def test_a_tick_of_a_new_session_forgets_the_old_one_s_range(prices: LastPrices) -> None:
    prices.record("zerodha", [tick(99.0, previous_close=100.0)])
    renewed = prices.refreshed(QUOTE)
    assert (renewed.previous_close, renewed.open, renewed.high, renewed.low) == (100.0, None, None, None)
    assert renewed.change == -1.0


def test_a_quote_without_a_range_gets_none_from_a_tick(prices: LastPrices) -> None:
    prices.record("zerodha", [tick(99.0)])
    renewed = prices.refreshed(Quote(TCS, 100.0, QUOTE.provenance, previous_close=95.0))
    assert (renewed.last_price, renewed.high, renewed.low) == (99.0, None, None)


def test_a_tick_that_is_older_than_what_is_held_is_passed_over(prices: LastPrices) -> None:
    prices.record("zerodha", [tick(99.0, LATER)])
    prices.record("zerodha", [tick(98.0, LATER - timedelta(microseconds=1))])
    assert prices.refreshed(QUOTE).last_price == 99.0
    prices.record("zerodha", [tick(97.0, LATER)])
    assert prices.refreshed(QUOTE).last_price == 97.0


def test_it_is_known_when_a_source_s_newest_tick_was_made(prices: LastPrices) -> None:
    assert prices.ticked_at("zerodha", "NSE:TCS") is None
    prices.record("zerodha", [tick(99.0)])
    assert prices.ticked_at("zerodha", "NSE:TCS") == LATER
    assert prices.ticked_at("icici", "NSE:TCS") is None


def test_what_a_tick_does_not_say_stays_as_the_quote_has_it(prices: LastPrices) -> None:
    prices.record("zerodha", [Tick("NSE:TCS", 102.0, microseconds_of(LATER))])
    renewed = prices.refreshed(QUOTE)
    assert (renewed.last_price, renewed.high, renewed.previous_close, renewed.volume) == (102.0, 102.0, 95.0, 10)


@pytest.mark.parametrize(
    ("quoted", "judged", "shown"),
    [
        (Freshness.LIVE, Freshness.STALE, Freshness.STALE),
        (Freshness.LIVE, Freshness.CLOSED, Freshness.CLOSED),
        (Freshness.STALE, Freshness.LIVE, Freshness.LIVE),
        (Freshness.STALE, Freshness.CLOSED, Freshness.STALE),
        (Freshness.SIMULATED, Freshness.SIMULATED, Freshness.SIMULATED),
    ],
)
def test_a_refreshed_quote_is_as_fresh_as_its_tick(
    prices: LastPrices, rule: OneFreshness, *, quoted: Freshness, judged: Freshness, shown: Freshness
) -> None:
    prices.record("zerodha", [tick(99.0)])
    rule.freshness = judged
    assert prices.refreshed(QUOTE.judged(quoted)).provenance.freshness is shown
