"""What a summary tells: sums by currency, real and simulated apart, movers once each, what has no price in no sum."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio.domain.brokers import Broker
from portfolio.domain.manual_portfolios import ManualPortfolio
from portfolio.domain.prices import MarketView
from portfolio.domain.quotes import Freshness, Provenance, Quote, QuoteAnswer
from portfolio.domain.rows import BrokerHolding, BrokerPosition, PositionType, Sync, SyncedRows
from portfolio.domain.snapshots import ValuedRows, value_rows
from portfolio.domain.splits import KnownSplits
from portfolio.domain.stock_entries import Stock
from portfolio.domain.summaries import (
    MAX_MOVERS,
    Line,
    PricesUnavailable,
    Reality,
    line_of_stock,
    movers_of,
    summarise,
    totals_of,
)
from portfolio.domain.value_series import ValueSeries

NOW = datetime(2026, 3, 12, 5, 30, tzinfo=UTC)
NOTHING = QuoteAnswer({}, frozenset())
LIVE = Provenance("zerodha", NOW, Freshness.LIVE)
MADE_UP = Provenance("sample", NOW, Freshness.SIMULATED)
STALE = Provenance("zerodha", NOW, Freshness.STALE)


def numbers(*values: object) -> tuple[object, ...]:
    return values


def quote(price: str, close: str | None = None, currency: str = "INR", provenance: Provenance = LIVE) -> Quote:
    return Quote(Decimal(price), None if close is None else Decimal(close), provenance, currency)


def stock(instrument: str, quantity: str = "10", total_cost: str = "900") -> Stock:
    return Stock(instrument.partition(":")[2], instrument, Decimal(quantity), Decimal(total_cost))


def line(instrument: str, quoted: Quote | None, quantity: str = "10", total_cost: str = "900") -> Line:
    quotes = {} if quoted is None else {instrument: quoted}
    return line_of_stock(stock(instrument, quantity, total_cost), QuoteAnswer(quotes, frozenset()))


def portfolio(*stocks: Stock, name: str = "Mine") -> ManualPortfolio:
    return ManualPortfolio(1, name, stocks)


def synced(
    *holdings: BrokerHolding, positions: tuple[BrokerPosition, ...] = (), is_simulated: bool = False
) -> ValuedRows:
    rows = SyncedRows(Sync("id", "7", Broker.ZERODHA, NOW, NOW, is_simulated), holdings, positions)
    return value_rows(rows, MarketView(NOTHING, KnownSplits(), date(2026, 3, 12)))


def holding(symbol: str = "TCS", price: str | None = "110", average: str | None = "100") -> BrokerHolding:
    last_price, average_price = (None if text is None else Decimal(text) for text in (price, average))
    return BrokerHolding(
        "NSE",
        symbol,
        Decimal(10),
        Decimal(0),
        average_price=average_price,
        last_price=last_price,
        close_price=Decimal(100),
    )


def position(quantity: str, of_type: PositionType = PositionType.NET, price: str | None = "12") -> BrokerPosition:
    return BrokerPosition(
        of_type,
        "NFO",
        "NIFTY",
        Decimal(quantity),
        Decimal(1),
        average_price=Decimal(10),
        last_price=None if price is None else Decimal(price),
    )


def test_a_stock_is_worth_its_units_at_the_price_of_now() -> None:
    valued = line("NASDAQ:AAPL", quote("201.28", "199.13", "USD"), "3", "500.50")
    assert (valued.currency, valued.value, valued.invested, valued.pnl) == (
        "USD",
        Decimal("603.84"),
        Decimal("500.50"),
        Decimal("103.34"),
    )
    assert (valued.pnl_percent, valued.day_change, valued.day_percent) == (
        Decimal("20.65"),
        Decimal("6.45"),
        Decimal("1.08"),
    )
    assert valued.provenance is LIVE


def test_without_a_price_nothing_is_known_but_the_cost() -> None:
    valued = line("NASDAQ:GONE", None)
    unknown = (valued.currency, valued.price, valued.value, valued.pnl, valued.day_change, valued.provenance)
    assert unknown == (None,) * 6
    assert (valued.invested, valued.pnl_percent, valued.day_percent) == (Decimal("900.00"), None, None)


def test_a_price_without_a_close_has_no_day() -> None:
    valued = line("NASDAQ:NEW", quote("10"))
    assert (valued.value, valued.day_change, valued.day_percent) == (Decimal("100.00"), None, None)


def test_currencies_are_summed_apart_rupees_first_and_simulated_ones_apart_from_real_ones() -> None:
    lines = [
        line("NASDAQ:A", quote("100", "50", "USD")),
        line("NASDAQ:B", quote("100", None, "USD")),
        line("NASDAQ:C", quote("7", None, "USD", MADE_UP)),
        line("NSE:D", quote("90")),
        line("XETRA:E", quote("1", None, "EUR"), total_cost="0"),
        line("NSE:GONE", None),
    ]
    sums = totals_of(lines)
    assert [(each.currency, each.is_simulated, each.count, each.value) for each in sums] == [
        ("INR", False, 1, Decimal("900.00")),
        ("EUR", False, 1, Decimal("10.00")),
        ("USD", False, 2, Decimal("2000.00")),
        ("USD", True, 1, Decimal("70.00")),
    ]
    rupees, euros, dollars, _ = sums
    assert numbers(rupees.pnl, rupees.pnl_percent, rupees.day_change, rupees.day_percent) == (0, 0, None, None)
    assert numbers(euros.invested, euros.pnl_percent) == (0, None)
    assert numbers(dollars.invested, dollars.pnl, dollars.pnl_percent) == (1800, 200, Decimal("11.11"))
    assert numbers(dollars.day_change, dollars.day_percent) == (500, 100)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["INR", "USD"]),
            st.decimals("0.000001", "1000000", places=6),
            st.decimals("0.00000001", "1000000", places=8),
        )
    )
)
def test_sums_equal_their_lines(stocks: list[tuple[str, Decimal, Decimal]]) -> None:
    lines = [line("X:Y", quote(str(price), "1", currency), str(units)) for currency, price, units in stocks]
    for sums in totals_of(lines):
        of_currency = [each for each in lines if each.currency == sums.currency]
        assert sums.value == sum(each.value or 0 for each in of_currency)
        assert sums.value - sums.invested == sums.pnl == sum(each.pnl or 0 for each in of_currency)
        assert sums.day_change == sum(each.day_change or 0 for each in of_currency)


def test_movers_are_the_largest_five_of_each_side() -> None:
    lines = [line(f"NSE:S{number:02}", quote(str(100 + number), "100")) for number in range(-8, 9)]
    rises, falls = movers_of(lines)
    assert [each.percent for each in rises] == [8, 7, 6, 5, 4]
    assert [each.percent for each in falls] == [-8, -7, -6, -5, -4]
    assert len(rises) == MAX_MOVERS


def test_an_instrument_moves_once_by_its_real_and_newest_price() -> None:
    older = replace(LIVE, as_of=NOW - timedelta(minutes=1))
    newer_but_made_up = replace(MADE_UP, as_of=NOW + timedelta(minutes=1))
    lines = [
        line("NSE:TCS", quote("101", "100", provenance=older)),
        line("NSE:TCS", quote("102", "100")),
        line("NSE:TCS", quote("109", "100", provenance=newer_but_made_up)),
        line("NSE:TCS", quote("101", "100", provenance=older)),
    ]
    rises, falls = movers_of(lines)
    assert numbers([each.percent for each in rises], falls) == ([2], [])


def test_what_is_stale_closed_out_or_without_a_day_moves_nothing() -> None:
    lines = [
        line("NSE:A", quote("109", "100", provenance=STALE)),
        replace(line("NSE:B", quote("109", "100")), quantity=Decimal(0)),
        line("NSE:C", quote("109")),
        line("NSE:D", None),
        line("NSE:E", quote("100", "100")),
    ]
    assert movers_of(lines) == ([], [])


def test_brokers_rows_and_own_portfolios_are_told_apart_and_summed_together() -> None:
    quotes = QuoteAnswer({"NSE:TCS": quote("120", "110")}, frozenset())
    told = summarise(
        [synced(holding(), holding("INFY", None), holding("ITC", average=None), positions=(position("5"),))],
        [portfolio(stock("NSE:TCS"), stock("NSE:GONE")), portfolio(name="Empty")],
        quotes,
        at=NOW,
    )
    assert [(each.name, len(each.lines)) for each in (*told.holdings, *told.own)] == [
        ("zerodha", 3),
        ("Mine", 2),
        ("Empty", 0),
    ]
    (rupees,) = told.totals
    assert numbers(rupees.value, rupees.invested, rupees.count) == (1100 + 1200, 1000 + 900, 2)
    assert (told.unpriced_count, told.uncosted_count, told.twice_count) == (2, 1, 1)
    assert numbers(told.positions[0].pnl, told.positions[0].unvalued_count) == (10, 0)
    assert [each.line.price for each in told.rises] == [120]
    assert (told.reality, told.is_empty) == (Reality.REAL, False)


def test_day_positions_are_in_the_net_ones_and_a_position_without_a_price_is_counted() -> None:
    positions = (position("5"), position("5", PositionType.DAY), position("5", price=None))
    told = summarise([synced(positions=positions)], [], NOTHING, at=NOW)
    assert told.holdings == []
    (section,) = told.positions
    assert numbers(len(section.lines), section.pnl, section.unvalued_count) == (2, 10, 1)
    assert told.totals == []


def test_who_has_nothing_is_told_so() -> None:
    told = summarise([synced()], [portfolio()], QuoteAnswer({}, frozenset({"NSE:X"})), at=NOW)
    assert (told.is_empty, told.totals, told.reality) == (True, [], Reality.REAL)


def test_nothing_priced_for_want_of_answers_is_no_summary() -> None:
    silent = QuoteAnswer({}, frozenset({"NASDAQ:AAPL"}))
    with pytest.raises(PricesUnavailable, match="no price of anything"):
        summarise([], [portfolio(stock("NASDAQ:AAPL"))], silent, at=NOW)
    assert summarise([], [portfolio(stock("NASDAQ:AAPL"))], NOTHING, at=NOW).unpriced_count == 1
    assert summarise([synced(holding())], [portfolio(stock("NASDAQ:AAPL"))], silent, at=NOW).unpriced_count == 1


def test_how_much_is_made_up_is_known() -> None:
    made_up = QuoteAnswer({"NSE:TCS": quote("1", provenance=MADE_UP)}, frozenset())
    own = [portfolio(stock("NSE:TCS"))]
    past = [(date(2026, 3, 11), Decimal(1)), (date(2026, 3, 12), Decimal(2))]
    series = [ValueSeries("INR", True, is_synced=True, points=past)]
    assert summarise([], own, made_up, at=NOW).reality is Reality.SIMULATED
    assert summarise([synced(holding())], own, made_up, at=NOW).reality is Reality.MIXED
    assert summarise([synced(holding())], [], made_up, at=NOW, series=series).reality is Reality.MIXED
    everything = summarise([synced(holding(), is_simulated=True)], [], NOTHING, at=NOW)
    assert everything.reality is Reality.SIMULATED
    unpriced = synced(positions=(position("1", price=None),), is_simulated=True)
    assert summarise([unpriced], [], NOTHING, at=NOW).reality is Reality.SIMULATED
