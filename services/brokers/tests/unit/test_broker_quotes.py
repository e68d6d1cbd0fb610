import math
from datetime import UTC, datetime
from typing import Any

import pytest

from brokers.domain.quotes import BrokerQuote
from brokers.providers.breeze import parse_quotes as breeze
from brokers.providers.children.jobs.kite_prices import plain
from brokers.providers.kite import parse_quotes as kite
from brokers.providers.kite.names import kite_name

KITE_ROW = {
    "last_price": 3842.5,
    "timestamp": "2026-11-20T10:41:27",
    "last_trade_time": "2026-11-20T10:41:26",
    "volume": 1_234_567,
    "ohlc": {"open": 3830.0, "high": 3850.25, "low": 3822.1, "close": 3823.29},
}
BREEZE_ROW = {
    "exchange_code": "NSE",
    "ltp": 1585.0,
    "ltt": "29-Jul-2025 15:59:37",
    "open": 1577.1,
    "high": 1590.0,
    "low": 1570.0,
    "previous_close": 1577.08,
    "total_quantity_traded": "1234567",
}
NOT_PRICES: list[Any] = [None, 0, 0.0, -1.5, "", "0", "-3", "x", math.nan, "NaN", math.inf, True, {}, []]


@pytest.mark.parametrize(
    ("instrument", "name"),
    [
        ("NSE:TCS", "NSE:TCS"),
        ("NSE:M&M", "NSE:M&M"),
        ("BSE:SBIN", "BSE:SBIN"),
        ("INDEX:NIFTY50", "NSE:NIFTY 50"),
        ("INDEX:BANKNIFTY", "NSE:NIFTY BANK"),
        ("INDEX:SENSEX", "BSE:SENSEX"),
        ("INDEX:SP500", None),
        ("NASDAQ:AAPL", None),
        ("FX:USDINR", None),
        ("TCS", None),
    ],
)
def test_kite_has_names_of_its_own_for_indices_alone(instrument: str, name: str | None) -> None:
    assert kite_name(instrument) == name


def test_a_quote_of_kite_has_the_exchanges_time_in_utc() -> None:
    assert kite.parse_quotes({"NSE:TCS": KITE_ROW}, ["NSE:TCS", "NSE:INFY"]) == {
        "NSE:TCS": BrokerQuote(
            instrument="NSE:TCS",
            last_price=3842.5,
            as_of=datetime(2026, 11, 20, 5, 11, 27, tzinfo=UTC),
            previous_close=3823.29,
            open=3830.0,
            high=3850.25,
            low=3822.1,
            volume=1_234_567,
        )
    }


def test_an_index_of_kite_has_no_volume() -> None:
    row = {**KITE_ROW, "volume": None, "last_trade_time": None}
    (quote,) = kite.parse_quotes({"NSE:NIFTY 50": row}, ["INDEX:NIFTY50"]).values()
    assert quote.instrument == "INDEX:NIFTY50"
    assert quote.volume is None


@pytest.mark.parametrize("price", NOT_PRICES)
def test_what_is_no_price_of_kite_is_no_quote(price: Any) -> None:
    assert kite.parse_quotes({"NSE:TCS": {**KITE_ROW, "last_price": price}}, ["NSE:TCS"]) == {}


@pytest.mark.parametrize("stamp", [None, "", "2026-11-20 10:41:27", "0001", 5, "2026-13-20T10:41:27"])
def test_a_price_of_kite_without_a_time_is_no_quote(stamp: Any) -> None:
    assert kite.parse_quotes({"NSE:TCS": {**KITE_ROW, "timestamp": stamp}}, ["NSE:TCS"]) == {}


@pytest.mark.parametrize("row", [None, "unexpected", 5, []])
def test_what_is_no_row_of_kite_is_no_quote(row: Any) -> None:
    assert kite.parse_quotes({"NSE:TCS": row}, ["NSE:TCS"]) == {}


def test_before_the_session_kites_bar_is_absent() -> None:
    bar = {"open": 0, "high": 0, "low": 0, "close": 3823.29}
    (quote,) = kite.parse_quotes({"NSE:TCS": {**KITE_ROW, "ohlc": bar, "volume": 0}}, ["NSE:TCS"]).values()
    assert (quote.open, quote.high, quote.low, quote.previous_close, quote.volume) == (None, None, None, 3823.29, 0)
    (quote,) = kite.parse_quotes({"NSE:TCS": {**KITE_ROW, "ohlc": "none"}}, ["NSE:TCS"]).values()
    assert (quote.open, quote.previous_close) == (None, None)


def test_kites_tokens_are_found_by_its_names_in_the_order_asked() -> None:
    rows = [["NSE", "NIFTY 50", 256265], ["NSE", "TCS", 2953217], ["BSE", "TCS", 136330244], ["NSE", "SPARE", 1]]
    asked = ["INDEX:NIFTY50", "INDEX:SP500", "BSE:TCS", "NSE:NEW", "NSE:TCS"]
    assert list(kite.parse_tokens(rows, asked).items()) == [
        ("INDEX:NIFTY50", 256265),
        ("BSE:TCS", 136330244),
        ("NSE:TCS", 2953217),
    ]


def test_a_quote_of_breeze_is_read_from_its_exchanges_row() -> None:
    other = {**BREEZE_ROW, "exchange_code": "BSE", "ltp": 1.0}
    answers = [["NSE", "INFTEC", [other, BREEZE_ROW]], ["NSE", "NOBODY", []]]
    instruments = {("NSE", "INFTEC"): "NSE:INFY", ("NSE", "NOBODY"): "NSE:NOBODY"}
    assert breeze.parse_quotes(answers, instruments) == {
        "NSE:INFY": BrokerQuote(
            instrument="NSE:INFY",
            last_price=1585.0,
            as_of=datetime(2025, 7, 29, 10, 29, 37, tzinfo=UTC),
            previous_close=1577.08,
            open=1577.1,
            high=1590.0,
            low=1570.0,
            volume=1_234_567,
        )
    }


@pytest.mark.parametrize(
    "changed", [*({"ltp": price} for price in NOT_PRICES), {"ltt": None}, {"ltt": ""}, {"ltt": "today"}]
)
def test_breezes_price_without_price_or_time_is_no_quote(changed: dict[str, Any]) -> None:
    answers = [["NSE", "INFTEC", [{**BREEZE_ROW, **changed}]]]
    assert breeze.parse_quotes(answers, {("NSE", "INFTEC"): "NSE:INFY"}) == {}


def test_breezes_numbers_may_be_text() -> None:
    row = {**BREEZE_ROW, "ltp": "1585.05", "open": "0", "previous_close": "", "total_quantity_traded": None}
    (quote,) = breeze.parse_quotes([["NSE", "INFTEC", [row]]], {("NSE", "INFTEC"): "NSE:INFY"}).values()
    assert (quote.last_price, quote.open, quote.previous_close, quote.volume) == (1585.05, None, None, None)


def test_numbers_beyond_any_float_are_none() -> None:
    row = {**BREEZE_ROW, "total_quantity_traded": 10**400, "open": "1e999"}
    (quote,) = breeze.parse_quotes([["NSE", "INFTEC", [row]]], {("NSE", "INFTEC"): "NSE:INFY"}).values()
    assert (quote.volume, quote.open) == (None, None)


def test_a_child_answers_in_plain_json() -> None:
    moment = datetime(2026, 11, 20, 10, 41, 27)  # noqa: DTZ001  # as the SDK makes it
    quote = {"timestamp": moment, "last_price": math.nan, "volume": 5, "ohlc": {"open": math.inf, "close": 3.5}}
    assert plain(quote) == {
        "timestamp": "2026-11-20T10:41:27",
        "last_price": None,
        "volume": 5,
        "ohlc": {"open": None, "close": 3.5},
    }
