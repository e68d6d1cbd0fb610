from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from brokers.domain.isins import Directory, NoDirectory, Security
from brokers.domain.rows import BrokerRows
from brokers.providers.breeze.portfolio_parse import parse_portfolio
from brokers.providers.fields import AnswerUnreadable
from upstreams.instruments import BY_KEY, Listing
from upstreams.payloads import breeze_demat, breeze_holding, breeze_position

SHARE = BY_KEY["NSE:RELIANCE"]
ON_BSE = replace(SHARE, exchange="BSE")
CODE, ISIN = str(SHARE.icici_code), str(SHARE.isin)
DIRECTORY = Directory([Security("NSE", CODE, ISIN, "RELIANCE"), Security("BSE", CODE, ISIN, "RELIANCE")])
INDEX = Listing("NFO", "NIFTY", "NIFTY", 60003, 24055.5, icici_code="NIFTY")


def these(*values: Any) -> tuple[Any, ...]:
    """Return values of any types, which mypy lets be compared with numbers."""
    return values


def parsed(
    nse: Any = (), bse: Any = (), demat: Any = (), *, positions: Any = (), directory: Any = DIRECTORY
) -> BrokerRows:
    answer = {
        "holdings": {"NSE": list(nse), "BSE": list(bse)},
        "demat": list(demat),
        "positions": list(positions),
    }
    return parse_portfolio(answer, directory)


def units(rows: BrokerRows) -> list[tuple[Any, ...]]:
    """Return exchange, settled and unsettled units and cost of each holding."""
    return [
        (row.exchange, int(row.quantity), int(row.t1_quantity), row.average_price and int(row.average_price))
        for row in rows.holdings
    ]


def test_a_holding_is_joined_with_its_isin_and_symbol() -> None:
    (row,) = parsed(
        [breeze_holding(SHARE, 10, 2400, unrealized_profit="-12.5")], demat=[breeze_demat(SHARE, 10)]
    ).holdings
    assert these(row.exchange, row.tradingsymbol, row.isin, row.broker_code) == ("NSE", "RELIANCE", ISIN, CODE)
    assert these(row.quantity, row.t1_quantity, row.average_price) == (10, 0, Decimal("2400.00"))
    assert these(row.last_price, row.close_price, row.pnl) == (Decimal(f"{SHARE.price:.2f}"), None, Decimal("-12.5"))


def test_a_code_that_is_the_symbol_is_not_taken_for_an_unresolved_one() -> None:
    directory = Directory([Security("NSE", CODE, ISIN, CODE)])
    (row,) = parsed([breeze_holding(SHARE, 10, 2400)], demat=[breeze_demat(SHARE, 10)], directory=directory).holdings
    assert these(row.tradingsymbol, row.broker_code) == (CODE, None)


def test_without_a_list_of_securities_icicis_code_is_kept() -> None:
    rows = parsed([breeze_holding(SHARE, 10, 2400)], demat=[breeze_demat(SHARE, 10)], directory=NoDirectory())
    assert these(rows.holdings[0].tradingsymbol, rows.holdings[0].broker_code) == (CODE, CODE)
    assert rows.holdings[0].isin == ISIN


def test_without_demat_all_units_are_unsettled_and_the_isin_the_lists() -> None:
    (row,) = parsed([breeze_holding(SHARE, 10, 2400)]).holdings
    assert these(row.quantity, row.t1_quantity, row.isin) == (0, 10, ISIN)


def test_units_that_demat_does_not_have_yet_are_unsettled() -> None:
    assert units(parsed([breeze_holding(SHARE, 10, 2400)], demat=[breeze_demat(SHARE, 7)])) == [("NSE", 7, 3, 2400)]


def test_units_that_were_sold_and_not_delivered_yet_are_gone() -> None:
    sold = breeze_position(SHARE, -6, 2500, product_type="Cash")
    by_position = parsed([breeze_holding(SHARE, 4, 2400)], demat=[breeze_demat(SHARE, 10)], positions=[sold])
    assert units(by_position) == [("NSE", 4, 0, 2400)]
    by_block = parsed([breeze_holding(SHARE, 4, 2400)], demat=[breeze_demat(SHARE, 10, blocked=6)])
    assert units(by_block) == [("NSE", 4, 0, 2400)]


def test_units_that_came_by_a_bonus_are_held_at_an_unknown_cost() -> None:
    rows = parsed([breeze_holding(SHARE, 8, 2400)], demat=[breeze_demat(SHARE, 16)])
    assert units(rows) == [("NSE", 8, 0, 2400), ("NSE", 8, 0, None)]
    assert [row.last_price for row in rows.holdings] == [Decimal(f"{SHARE.price:.2f}")] * 2


def test_what_demat_alone_has_is_held_at_an_unknown_cost_where_it_is_listed() -> None:
    assert units(parsed(demat=[breeze_demat(SHARE, 5)])) == [("NSE", 5, 0, None)]
    only_bse = Directory([Security("BSE", CODE, ISIN, "RELIANCE")])
    assert units(parsed(demat=[breeze_demat(SHARE, 5)], directory=only_bse)) == [("BSE", 5, 0, None)]
    assert units(parsed(demat=[breeze_demat(SHARE, 5, stock_ISIN=None)])) == [("NSE", 5, 0, None)]
    sold = breeze_position(SHARE, -5, 2500, product_type="Cash")
    assert units(parsed(demat=[breeze_demat(SHARE, 5)], positions=[sold])) == []


def test_a_stock_in_two_lots_of_demat_is_one() -> None:
    demat = [breeze_demat(SHARE, 4, stock_ISIN=None), breeze_demat(SHARE, 6)]
    (row,) = parsed([breeze_holding(SHARE, 10, 2400)], demat=demat).holdings
    assert these(row.quantity, row.isin) == (10, ISIN)


def test_one_stock_on_two_exchanges_is_two_holdings() -> None:
    rows = parsed([breeze_holding(SHARE, 10, 2400)], [breeze_holding(ON_BSE, 2, 2300)], [breeze_demat(SHARE, 11)])
    assert units(rows) == [("NSE", 10, 0, 2400), ("BSE", 1, 1, 2300)]


def test_one_holding_that_both_exchanges_show_is_one() -> None:
    both = ([breeze_holding(SHARE, 10, 2400)], [breeze_holding(ON_BSE, 10, 2400)])
    assert units(parsed(*both, [breeze_demat(SHARE, 10)])) == [("NSE", 10, 0, 2400)]
    assert units(parsed(*both)) == [("NSE", 0, 10, 2400)]
    # Demat has both.
    assert units(parsed(*both, [breeze_demat(SHARE, 20)])) == [("NSE", 10, 0, 2400), ("BSE", 10, 0, 2400)]


def test_a_share_held_on_bse_alone_is_kept() -> None:
    assert units(parsed(bse=[breeze_holding(ON_BSE, 2, 2300)], demat=[breeze_demat(SHARE, 2)])) == [("BSE", 2, 0, 2300)]


def test_sides_dates_strikes_and_rights_of_positions_are_read() -> None:
    contract = {"segment": "fno", "expiry_date": "24-Nov-2026", "strike_price": "24000"}
    option, future, share = parsed(
        positions=[
            breeze_position(INDEX, -75, 182.35, product_type="Options", right="Call", **contract),
            breeze_position(INDEX, 75, 24010, product_type="Futures", right="Others", **contract),
            breeze_position(SHARE, 25, 2500, ltp=None, expiry_date="24-Nov-2026", pnl="17.5"),
        ]
    ).positions
    day = date(2026, 11, 24)
    assert these(option.quantity, option.expiry, option.strike, option.option_type) == (
        -75,
        day,
        24000,
        "CE",
    )
    assert these(option.exchange, option.tradingsymbol, option.broker_code) == ("NFO", "NIFTY", "NIFTY")
    assert these(future.quantity, future.expiry, future.strike, future.option_type) == (
        75,
        day,
        None,
        None,
    )
    assert these(share.tradingsymbol, share.quantity, share.multiplier, share.expiry) == ("RELIANCE", 25, 1, None)
    assert these(share.last_price, share.pnl, share.product) == (
        Decimal(f"{SHARE.price:.2f}"),
        Decimal("17.5"),
        "Margin",
    )


def test_a_derivative_is_named_after_its_share() -> None:
    row = breeze_position(SHARE, 250, 2500, exchange_code="NFO", right="put", strike_price="2400")
    (position,) = parsed(positions=[row]).positions
    assert these(position.tradingsymbol, position.option_type, position.strike) == ("RELIANCE", "PE", 2400)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {"demat": [], "positions": []},
        {"holdings": {"NSE": []}, "demat": [], "positions": []},
        {"holdings": {"NSE": [], "BSE": []}, "demat": None, "positions": []},
        {"holdings": {"NSE": [], "BSE": []}, "demat": [], "positions": {}},
        {"holdings": {"NSE": [{"stock_code": "X", "quantity": "-1"}], "BSE": []}, "demat": [], "positions": []},
        {"holdings": {"NSE": [], "BSE": []}, "demat": [], "positions": [{"stock_code": "X", "exchange_code": "NSE"}]},
    ],
)
def test_what_cannot_be_fails_the_whole_answer(answer: Any) -> None:
    with pytest.raises(AnswerUnreadable):
        parse_portfolio(answer, DIRECTORY)


def test_what_demat_has_without_a_code_is_known_by_its_isin() -> None:
    rows = parsed(demat=[breeze_demat(SHARE, 7, stock_code=None, stock_ISIN="INE000000000")]).holdings
    assert [these(row.tradingsymbol, row.isin, row.quantity, row.average_price) for row in rows] == [
        ("INE000000000", "INE000000000", 7, None)
    ]
    (row,) = parsed([breeze_holding(SHARE, 10, 2400)], demat=[breeze_demat(SHARE, 10, stock_code=" ")]).holdings
    assert these(row.quantity, row.t1_quantity, row.isin, row.broker_code) == (10, 0, ISIN, CODE)
    with pytest.raises(AnswerUnreadable, match=r"demat\[0\]\.stock_ISIN is missing"):
        parsed(demat=[breeze_demat(SHARE, 7, stock_code="", stock_ISIN="")])


def test_the_strike_of_what_is_no_option_is_not_read() -> None:
    (row,) = parsed(positions=[breeze_position(INDEX, 75, 24010, right="Others", strike_price="-1")]).positions
    assert these(row.strike, row.option_type) == (None, None)


def test_a_holding_shown_twice_is_one_be_there_others_of_the_same_stock() -> None:
    rows = parsed(
        [breeze_holding(SHARE, 10, 2400), breeze_holding(SHARE, 5, 2500)],
        [breeze_holding(ON_BSE, 10, 2400)],
        [breeze_demat(SHARE, 15)],
    )
    assert units(rows) == [("NSE", 10, 0, 2400), ("NSE", 5, 0, 2500)]
