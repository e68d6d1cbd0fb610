import json
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio.domain.brokers import Broker
from portfolio.domain.prices import MarketView
from portfolio.domain.quotes import Freshness, Provenance, Quote, QuoteAnswer
from portfolio.domain.rows import BrokerHolding, BrokerPosition, PositionType, Sync
from portfolio.domain.splits import KnownSplits, Split
from portfolio.domain.valuation import (
    ValuedHolding,
    ValuedPosition,
    sum_holdings,
    sum_positions,
    value_holding,
    value_position,
)

SYNCED = datetime(2026, 3, 11, 5, 30, tzinfo=UTC)
TODAY = date(2026, 3, 12)
TCS = "NSE:TCS"
SYNC = Sync("id", "7", Broker.ZERODHA, SYNCED, SYNCED, False)


def view(price: str | None = None, *, close: str | None = None, factor: Fraction = Fraction(1)) -> MarketView:
    splits = KnownSplits({TCS: (Split(TODAY, factor),)}, date(2026, 2, 28))
    if price is None:
        return MarketView(QuoteAnswer({}, frozenset()), splits, TODAY)
    provenance = Provenance("zerodha", SYNCED + timedelta(days=1), Freshness.LIVE)
    quote = Quote(Decimal(price), None if close is None else Decimal(close), provenance)
    return MarketView(QuoteAnswer({TCS: quote}, frozenset()), splits, TODAY)


def numbers(*values: object) -> tuple[object, ...]:
    return values


def decimals(**texts: str) -> dict[str, Any]:
    return {name: Decimal(text) for name, text in texts.items()}


def holding(quantity: str = "10", t1: str = "0", **texts: str) -> BrokerHolding:
    return BrokerHolding("NSE", "TCS", Decimal(quantity), Decimal(t1), **decimals(**texts))


def position(
    quantity: str, multiplier: str = "1", of_type: PositionType = PositionType.NET, **texts: str
) -> BrokerPosition:
    return BrokerPosition(of_type, "NSE", "TCS", Decimal(quantity), Decimal(multiplier), **decimals(**texts))


def parts(valued: ValuedHolding | ValuedPosition) -> dict[str, str]:
    assert valued.comparison is not None
    return {part.reason.value: str(part.amount) for part in valued.comparison.parts}


def test_all_units_owned_count_settled_or_not() -> None:
    valued = value_holding(holding("6", "4", average_price="100"), SYNC, view("110", close="108"))
    assert numbers(valued.quantity, valued.t1_quantity) == (10, 4)
    assert numbers(str(valued.invested), str(valued.current_value), str(valued.pnl)) == ("1000.00", "1100.00", "100.00")
    assert numbers(str(valued.pnl_percent), str(valued.day_change), str(valued.day_change_percent)) == (
        "10.00",
        "20.00",
        "1.85",
    )


def test_an_unknown_cost_makes_the_pnl_unknown() -> None:
    valued = value_holding(holding(), SYNC, view("110"))
    assert numbers(valued.invested, valued.pnl, valued.pnl_percent) == (None, None, None)
    assert valued.current_value == 1100
    assert numbers(valued.day_change, valued.day_change_percent) == (None, None)


def test_what_was_given_has_cost_nothing() -> None:
    valued = value_holding(holding(average_price="0"), SYNC, view("110"))
    assert numbers(valued.invested, valued.pnl, valued.pnl_percent) == (0, 1100, None)


def test_an_unknown_price_makes_the_value_unknown() -> None:
    valued = value_holding(holding(average_price="100", pnl="3"), SYNC, view())
    assert numbers(valued.invested, valued.current_value, valued.pnl) == (1000, None, None)
    assert valued.comparison is not None
    assert numbers(valued.comparison.difference, list(valued.comparison.parts)) == (None, [])


def test_the_day_change_of_the_brokers_price_is_since_the_brokers_close() -> None:
    valued = value_holding(holding(last_price="110", close_price="100"), SYNC, view())
    assert numbers(valued.day_change, valued.day_change_percent) == (100, 10)


def test_the_same_pnl_needs_no_explanation() -> None:
    valued = value_holding(holding(average_price="100", last_price="110", pnl="100"), SYNC, view())
    assert valued.comparison is not None
    assert numbers(valued.comparison.difference, parts(valued)) == (0, {})


def test_a_price_of_another_time_explains_itself() -> None:
    row = holding(average_price="100", last_price="110", pnl="100")
    assert parts(value_holding(row, SYNC, view("112.5"))) == {"price_time": "25.00"}


def test_units_that_the_broker_leaves_out_are_found() -> None:
    row = holding("6", "4", average_price="100", last_price="110", pnl="60")
    assert parts(value_holding(row, SYNC, view("110"))) == {"t1_quantity": "40.00"}
    assert parts(value_holding(row, SYNC, view("111"))) == {"price_time": "10.00", "t1_quantity": "40.00"}


def test_units_that_the_broker_counts_are_not() -> None:
    row = holding("6", "4", average_price="100", last_price="110", pnl="100")
    assert parts(value_holding(row, SYNC, view("111"))) == {"price_time": "10.00"}


def test_a_split_explains_what_the_price_alone_does_not() -> None:
    row = holding(average_price="100", last_price="110", pnl="100")
    valued = value_holding(row, SYNC, view("56", factor=Fraction(2)))
    assert numbers(valued.quantity, valued.average_price, valued.pnl) == (20, 50, 120)
    assert parts(valued) == {"price_time": "-540.00", "corporate_action": "560.00"}


def test_a_split_without_a_new_price_changes_no_worth() -> None:
    row = holding(average_price="100", last_price="110", close_price="108", pnl="100")
    valued = value_holding(row, SYNC, view(factor=Fraction(3, 7)))
    assert numbers(valued.current_value, valued.pnl, valued.day_change) == (1100, 100, 20)
    assert numbers(str(valued.quantity), str(valued.average_price)) == ("4.285714", "233.333333")


def test_a_mean_price_that_the_broker_rounded_is_rounding() -> None:
    row = holding("1000", average_price="100.004", last_price="110", pnl="10000")
    assert parts(value_holding(row, SYNC, view())) == {"rounding": "-4.00"}


def test_what_nothing_accounts_for_is_said_to_be_unexplained() -> None:
    row = holding(average_price="100", last_price="110", pnl="99")
    assert parts(value_holding(row, SYNC, view("111"))) == {"price_time": "10.00", "unexplained": "1.00"}
    priceless = holding(average_price="100", pnl="99")
    assert parts(value_holding(priceless, SYNC, view("111"))) == {"unexplained": "11.00"}


def test_an_open_position_is_what_was_received_less_paid_and_what_it_is_worth() -> None:
    row = position("-50", "2", buy_value="1000", sell_value="12000", last_price="100", pnl="1000")
    valued = value_position(row, SYNC, view("101"))
    assert numbers(valued.value, valued.pnl, valued.is_closed) == (-10_100, 900, False)
    assert parts(valued) == {"price_time": "-100.00"}


def test_without_buy_and_sell_values_the_mean_price_counts() -> None:
    row = position("5", "3", average_price="90", last_price="100", pnl="150")
    assert value_position(row, SYNC, view()).pnl == 150
    only_bought = position("5", average_price="90", last_price="100", buy_value="450")
    assert value_position(only_bought, SYNC, view()).pnl == 50


def test_a_closed_position_needs_no_price() -> None:
    valued = value_position(position("0", buy_value="100", sell_value="90.5", pnl="-9.5"), SYNC, view())
    assert numbers(valued.pnl, valued.value, valued.is_closed) == (Decimal("-9.50"), None, True)
    assert parts(valued) == {}


def test_nobody_knows_what_a_closed_position_without_values_has_made() -> None:
    valued = value_position(position("0", average_price="90", last_price="100", pnl="7"), SYNC, view())
    assert valued.pnl is None
    assert valued.comparison is not None
    assert valued.comparison.difference is None


@pytest.mark.parametrize(
    "row",
    [position("5", buy_value="1", sell_value="2"), position("5", last_price="1"), position("5", average_price="1")],
)
def test_a_position_without_price_or_cost_has_no_pnl(row: BrokerPosition) -> None:
    assert value_position(row, SYNC, view()).pnl is None


def test_a_broker_price_without_a_pnl_at_it_explains_nothing() -> None:
    row = position("5", average_price="90", pnl="150")
    assert parts(value_position(row, SYNC, view("100"))) == {"unexplained": "-100.00"}


def test_a_position_is_adjusted_like_a_holding() -> None:
    row = position("5", average_price="90", last_price="100", overnight_quantity="3", pnl="50")
    valued = value_position(row, SYNC, view("51", factor=Fraction(2)))
    assert numbers(valued.quantity, valued.overnight_quantity, valued.average_price) == (10, 6, 45)
    assert numbers(valued.value, valued.pnl) == (510, 60)
    assert parts(valued) == {"price_time": "-245.00", "corporate_action": "255.00"}


def test_sums_leave_out_what_is_unknown_and_say_so() -> None:
    known = value_holding(holding(average_price="100"), SYNC, view("110", close="100"))
    costless = value_holding(holding(), SYNC, view("110", close="100"))
    sums = sum_holdings([known, costless])
    assert numbers(sums.invested, sums.current_value, sums.pnl, sums.pnl_percent) == (1000, 1100, 100, 10)
    assert numbers(sums.day_change, sums.unvalued_count) == (200, 1)
    assert sums.day_unvalued_count == 0
    nothing = sum_holdings([])
    assert numbers(str(nothing.pnl), nothing.pnl_percent, nothing.day_change) == ("0.00", None, None)


def test_the_days_sum_says_how_many_rows_are_not_in_it() -> None:
    known = value_holding(holding(average_price="100"), SYNC, view("110", close="100"))
    without_close = value_holding(holding(average_price="100"), SYNC, view("110"))
    without_price = value_holding(holding(average_price="100"), SYNC, view())
    sums = sum_holdings([known, without_close, without_price])
    assert numbers(sums.day_change, sums.day_unvalued_count, sums.unvalued_count) == (100, 2, 1)
    none_known = sum_holdings([without_close])
    assert numbers(none_known.day_change, none_known.day_unvalued_count) == (None, 1)


def test_positions_are_summed_by_type() -> None:
    net = value_position(position("5", average_price="90", last_price="100"), SYNC, view())
    day = value_position(position("1", of_type=PositionType.DAY, average_price="90", last_price="91"), SYNC, view())
    unknown = value_position(position("5"), SYNC, view())
    sums = sum_positions([net, day, unknown])
    assert numbers(sums.net_pnl, sums.day_pnl, sums.unvalued_count) == (50, 1, 1)


PRICES = st.decimals(min_value=0, max_value=10**6, places=4).map(lambda price: price + 0)
UNITS = st.decimals(min_value=0, max_value=10**6, places=3)
SIGNED = st.decimals(min_value=-(10**8), max_value=10**8, places=3)
FACTORS = st.builds(Fraction, st.integers(1, 20), st.integers(1, 20))
HOLDINGS = st.builds(
    BrokerHolding,
    exchange=st.just("NSE"),
    tradingsymbol=st.just("TCS"),
    quantity=UNITS,
    t1_quantity=UNITS,
    average_price=st.none() | PRICES,
    last_price=st.none() | PRICES,
    close_price=st.none() | PRICES,
    pnl=st.none() | SIGNED,
)
POSITIONS = st.builds(
    BrokerPosition,
    type=st.sampled_from(PositionType),
    exchange=st.just("NSE"),
    tradingsymbol=st.just("TCS"),
    quantity=st.just(Decimal(0)) | SIGNED,
    multiplier=st.sampled_from([Decimal(1), Decimal("0.5"), Decimal(1000)]),
    average_price=st.none() | PRICES,
    last_price=st.none() | PRICES,
    buy_value=st.none() | SIGNED,
    sell_value=st.none() | SIGNED,
    pnl=st.none() | SIGNED,
)
QUOTED = st.none() | st.decimals(min_value="0.0001", max_value=10**6, places=4).map(str)


def require_adds_up(valued: ValuedHolding | ValuedPosition) -> None:
    comparison = valued.comparison
    if comparison is None or comparison.difference is None:
        return
    assert valued.pnl is not None
    assert comparison.difference == valued.pnl - comparison.broker_pnl
    assert sum((part.amount for part in comparison.parts), Decimal(0)) == comparison.difference
    assert all(part.amount.as_tuple().exponent == -2 and part.amount != 0 for part in comparison.parts)
    tolerance = Decimal("0.03") + Decimal("0.005") * abs(valued.row.quantity) * getattr(valued.row, "multiplier", 1)
    if isinstance(valued.row, BrokerHolding):
        tolerance += Decimal("0.005") * valued.row.t1_quantity
    assert all(abs(part.amount) <= tolerance for part in comparison.parts if part.reason.value == "rounding")


def floats_in(value: Any) -> list[str]:
    if isinstance(value, float):
        return [repr(value)]
    if isinstance(value, list | tuple):
        return [found for each in value for found in floats_in(each)]
    if hasattr(value, "__dataclass_fields__"):
        return [found for each in fields(value) for found in floats_in(getattr(value, each.name))]
    return []


@given(HOLDINGS, QUOTED, FACTORS)
def test_a_holdings_difference_is_exactly_its_parts(row: BrokerHolding, price: str | None, factor: Fraction) -> None:
    valued = value_holding(row, SYNC, view(price, close=price, factor=factor))
    require_adds_up(valued)
    assert floats_in(valued) == []


@given(POSITIONS, QUOTED, FACTORS)
def test_a_positions_difference_is_exactly_its_parts(row: BrokerPosition, price: str | None, factor: Fraction) -> None:
    valued = value_position(row, SYNC, view(price, factor=factor))
    require_adds_up(valued)
    assert floats_in(valued) == []


@given(st.lists(HOLDINGS, max_size=8), QUOTED, st.randoms(use_true_random=False))
def test_sums_equal_their_rows_in_any_order(rows: Sequence[BrokerHolding], price: str | None, random: Any) -> None:
    valued = [value_holding(row, SYNC, view(price, close=price)) for row in rows]
    sums = sum_holdings(valued)
    counted = [each for each in valued if each.pnl is not None]
    assert sums.pnl == sum((each.pnl for each in counted if each.pnl is not None), Decimal(0))
    assert sums.pnl == sums.current_value - sums.invested
    assert sums.unvalued_count == len(rows) - len(counted)
    assert sums.day_unvalued_count == sum(each.day_change is None for each in valued)
    shuffled = list(valued)
    random.shuffle(shuffled)
    assert sum_holdings(shuffled) == sums


@given(st.lists(POSITIONS, max_size=8), QUOTED, st.randoms(use_true_random=False))
def test_sums_of_positions_equal_their_rows_in_any_order(
    rows: Sequence[BrokerPosition], price: str | None, random: Any
) -> None:
    valued = [value_position(row, SYNC, view(price)) for row in rows]
    sums = sum_positions(valued)
    assert sums.net_pnl + sums.day_pnl == sum((each.pnl for each in valued if each.pnl is not None), Decimal(0))
    shuffled = list(valued)
    random.shuffle(shuffled)
    assert sum_positions(shuffled) == sums


@given(HOLDINGS, FACTORS)
def test_a_split_alone_changes_no_worth_and_no_cost(row: BrokerHolding, factor: Fraction) -> None:
    plain, split = value_holding(row, SYNC, view()), value_holding(row, SYNC, view(factor=factor))
    assert (plain.invested, plain.current_value, plain.pnl) == (split.invested, split.current_value, split.pnl)


@given(HOLDINGS, QUOTED)
def test_a_broker_who_leaves_units_out_is_never_called_unexplained(row: BrokerHolding, price: str | None) -> None:
    if row.average_price is None or row.last_price is None:
        return
    settled = row.quantity * (row.last_price - row.average_price)
    valued = value_holding(replace(row, pnl=settled), SYNC, view(price))
    assert "unexplained" not in json.dumps(parts(valued))
