from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from brokers.domain.rows import HoldingRow, PositionType
from brokers.providers.fields import AnswerUnreadable
from brokers.providers.kite.contracts import NO_CONTRACT, Contract, contract_of
from brokers.providers.kite.portfolio_parse import parse_portfolio
from upstreams.instruments import BY_KEY
from upstreams.payloads import kite_closed_position, kite_holding, kite_position

TCS, SBIN = BY_KEY["NSE:TCS"], BY_KEY["NSE:SBIN"]


def holdings_of(*rows: Any) -> tuple[HoldingRow, ...]:
    return parse_portfolio({"holdings": list(rows), "positions": {"net": [], "day": []}}).holdings


def these(*values: Any) -> tuple[Any, ...]:
    """Return values of any types, which mypy lets be compared with numbers."""
    return values


def test_a_holding_keeps_kites_figures() -> None:
    (holding,) = holdings_of(
        kite_holding(TCS, 10, 3600.5, t1_quantity=2, last_price=3500.25, close_price=3490, pnl=-1203)
    )
    assert these(holding.exchange, holding.tradingsymbol, holding.isin, holding.product) == (
        "NSE",
        "TCS",
        TCS.isin,
        "CNC",
    )
    assert these(holding.quantity, holding.t1_quantity, holding.collateral_quantity) == (10, 2, 0)
    assert these(holding.average_price, holding.last_price) == (Decimal("3600.5"), Decimal("3500.25"))
    assert these(holding.close_price, holding.pnl, holding.broker_code) == (3490, -1203, None)


def test_an_average_of_0_is_a_price_unless_kite_says_that_it_does_not_know() -> None:
    given, unknown, known = holdings_of(
        kite_holding(TCS, 1, 0), kite_holding(TCS, 1, 0, discrepancy=True), kite_holding(TCS, 1, 5, discrepancy=True)
    )
    assert these(given.average_price, unknown.average_price, known.average_price) == (0, None, 5)


def test_what_was_bought_on_margin_is_a_holding_of_its_own() -> None:
    mtf = {"quantity": 40, "used_quantity": 0, "average_price": 785.5, "value": 31420.0, "initial_margin": 7855.0}
    own, margin = holdings_of(kite_holding(SBIN, 5, 700, mtf=mtf))
    assert these(own.product, own.quantity, own.average_price, own.pnl) == (
        "CNC",
        5,
        700,
        (Decimal(str(SBIN.price)) - 700) * 5,
    )
    assert these(margin.product, margin.quantity, margin.average_price, margin.pnl) == (
        "MTF",
        40,
        Decimal("785.5"),
        None,
    )
    assert these(margin.isin, margin.t1_quantity, margin.last_price) == (own.isin, 0, own.last_price)
    (alone,) = holdings_of(kite_holding(SBIN, 0, 0, mtf=mtf, pnl=380.0))
    assert these(alone.product, alone.quantity, alone.pnl) == ("MTF", 40, 380)


@pytest.mark.parametrize("mtf", [None, {}, {"quantity": 0}, {"quantity": None}])
def test_an_empty_margin_object_is_nothing(mtf: Any) -> None:
    assert len(holdings_of(kite_holding(SBIN, 5, 700, mtf=mtf))) == 1


@pytest.mark.parametrize(
    ("units", "pnl", "expected"),
    [
        # Pledged units that the quantity does not count, because it could not.
        ((0, 0, 40), None, 40),
        ((10, 0, 40), None, 50),
        # By its own profit of 100 a unit: the quantity counts them, or does not.
        ((60, 0, 40), 6_000, 60),
        ((60, 0, 40), 10_000, 100),
        ((60, 5, 40), 10_500, 100),
        ((60, 5, 40), 6_500, 60),
        # Nothing says so.
        ((60, 0, 40), None, 60),
    ],
)
def test_pledged_units_are_counted_once(units: tuple[int, int, int], pnl: Any, expected: int) -> None:
    quantity, t1, pledged = units
    row = kite_holding(TCS, quantity, 900, t1_quantity=t1, last_price=1000, collateral_quantity=pledged, pnl=pnl)
    (holding,) = holdings_of(row)
    assert these(holding.quantity, holding.t1_quantity, holding.collateral_quantity) == (expected, t1, pledged)


def test_a_profit_of_nothing_says_nothing_about_pledged_units() -> None:
    (holding,) = holdings_of(kite_holding(TCS, 60, 900, last_price=900, collateral_quantity=40, pnl=0))
    assert holding.quantity == 60


def test_no_price_is_none() -> None:
    (holding,) = holdings_of(kite_holding(TCS, 1, 5, last_price=0, close_price=None, isin="", product=None, pnl=None))
    assert these(holding.last_price, holding.close_price, holding.isin, holding.product, holding.pnl) == (None,) * 5


def test_the_same_share_twice_stays_twice() -> None:
    assert len(holdings_of(kite_holding(TCS, 1, 5), kite_holding(TCS, 1, 5))) == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"quantity": -1},
        {"quantity": None},
        {"quantity": "many"},
        {"t1_quantity": -1},
        {"average_price": float("nan")},
        {"tradingsymbol": ""},
        {"exchange": None},
        {"mtf": "yes"},
        {"last_price": -1},
    ],
)
def test_an_impossible_holding_fails_the_whole_answer(changed: dict[str, Any]) -> None:
    with pytest.raises(AnswerUnreadable, match=r"holdings\[1\]"):
        holdings_of(kite_holding(TCS, 1, 5), kite_holding(TCS, 1, 5, **changed))


def test_positions_keep_their_list_their_side_and_their_multiplier() -> None:
    future = kite_position(BY_KEY["CDS:USDINR26NOVFUT"], -2, 88.5, product="NRML", multiplier=1000)
    closed = kite_closed_position(SBIN, 20, bought_at=790, sold_at=795.5)
    answer = {"holdings": [], "positions": {"net": [future, closed], "day": [closed]}}
    short, done, today = parse_portfolio(answer).positions
    assert these(short.type, short.quantity, short.multiplier, short.average_price) == (
        PositionType.NET,
        -2,
        1000,
        Decimal("88.5"),
    )
    assert these(short.sell_value, short.close_price) == (177_000, None)
    assert these(done.quantity, done.pnl, done.realised, done.unrealised) == (0, 110, 110, 0)
    assert today.type is PositionType.DAY


@pytest.mark.parametrize("multiplier", [0, None])
def test_no_multiplier_is_1(multiplier: Any) -> None:
    row = kite_position(SBIN, 1, 790) | {"multiplier": multiplier}
    (position,) = parse_portfolio({"holdings": [], "positions": {"net": [row], "day": []}}).positions
    assert position.multiplier == 1


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {"holdings": []},
        {"holdings": None, "positions": {"net": [], "day": []}},
        {"holdings": [], "positions": None},
        {"holdings": [], "positions": {"net": []}},
        {"holdings": [], "positions": {"net": None, "day": []}},
        {"holdings": [], "positions": {"net": [None], "day": []}},
    ],
)
def test_a_missing_list_is_not_an_empty_one(answer: Any) -> None:
    with pytest.raises(AnswerUnreadable):
        parse_portfolio(answer)


@pytest.mark.parametrize(
    ("exchange", "symbol", "expected"),
    [
        ("NFO", "NIFTY26NOV24000CE", Contract(None, Decimal(24000), "CE")),
        ("NFO", "NIFTY26N2424000PE", Contract(date(2026, 11, 24), Decimal(24000), "PE")),
        ("BFO", "SENSEX2610281500CE", Contract(date(2026, 1, 2), Decimal(81500), "CE")),
        ("CDS", "USDINR26N1384.25CE", Contract(date(2026, 11, 13), Decimal("84.25"), "CE")),
        ("NFO", "360ONE26NOV1000CE", Contract(None, Decimal(1000), "CE")),
        ("NFO", "M&M26NOV3000PE", Contract(None, Decimal(3000), "PE")),
        ("NFO", "NIFTY26NOVFUT", NO_CONTRACT),
        ("NFO", "NIFTY2619924000CE", NO_CONTRACT),
        ("NSE", "RELIANCE", NO_CONTRACT),
        ("NSE", "ACE26NOV5CE", NO_CONTRACT),
    ],
)
def test_a_symbol_says_what_an_option_is(exchange: str, symbol: str, expected: Contract) -> None:
    assert contract_of(exchange, symbol) == expected
