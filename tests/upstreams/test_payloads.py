"""The rows against the fields that are documented, and whole accounts as the SDKs read them."""

import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest
import requests
from kiteconnect import KiteConnect

from upstreams.demo_accounts import call_option, demo_breeze_account, demo_kite_account
from upstreams.instruments import BY_KEY
from upstreams.odd_accounts import many_kite_holdings, odd_breeze_account, odd_kite_account
from upstreams.payloads import breeze_demat, breeze_holding, breeze_position, kite_holding, kite_position, kite_quote
from upstreams.servers import kite_server

TCS = BY_KEY["NSE:TCS"]
SIDES = {
    f"{moment}{side}_{figure}"
    for moment in ("", "day_")
    for side in ("buy", "sell")
    for figure in ("quantity", "price", "value")
}
DOCUMENTED = {
    "kite holding": (
        kite_holding(TCS, 1, 1),
        (
            "tradingsymbol exchange instrument_token isin product price quantity used_quantity t1_quantity "
            "realised_quantity authorised_quantity authorised_date authorisation opening_quantity short_quantity "
            "collateral_quantity collateral_type discrepancy average_price last_price close_price pnl day_change "
            "day_change_percentage mtf"
        ),
    ),
    "kite position": (
        kite_position(TCS, 1, 1),
        "tradingsymbol exchange instrument_token product quantity overnight_quantity multiplier average_price "
        "close_price last_price value pnl m2m unrealised realised buy_m2m sell_m2m " + " ".join(SIDES),
    ),
    "kite quote": (
        kite_quote(TCS),
        (
            "instrument_token timestamp last_trade_time last_price last_quantity buy_quantity sell_quantity volume "
            "average_price oi oi_day_high oi_day_low net_change lower_circuit_limit upper_circuit_limit ohlc depth"
        ),
    ),
    "breeze holding": (
        breeze_holding(TCS, 1, 1),
        (
            "stock_code exchange_code quantity average_price booked_profit_loss current_market_price change_percentage "
            "answer_flag product_type expiry_date strike_price right category_index_per_stock action realized_profit "
            "unrealized_profit open_position_value portfolio_charges"
        ),
    ),
    "breeze position": (
        breeze_position(TCS, 1, 1),
        (
            "segment product_type exchange_code stock_code expiry_date strike_price right action quantity "
            "average_price settlement_id margin_amount ltp price stock_index_indicator cover_quantity "
            "stoploss_trigger stoploss take_profit available_margin squareoff_mode mtf_sell_quantity "
            "mtf_net_amount_payable mtf_expiry_date order_id cover_order_flow cover_order_executed_quantity "
            "pledge_status pnl underlying order_segment_code"
        ),
    ),
    "breeze demat": (
        breeze_demat(TCS, 1),
        (
            "stock_code stock_ISIN quantity demat_total_bulk_quantity demat_avail_quantity blocked_quantity "
            "demat_allocated_quantity"
        ),
    ),
}


@pytest.mark.parametrize("kind", DOCUMENTED)
def test_a_row_has_the_documented_fields_and_no_others(kind: str) -> None:
    row, fields = DOCUMENTED[kind]
    assert set(row) == set(fields.split())


def test_breezes_numbers_are_strings() -> None:
    for row in (breeze_holding(TCS, 1, 1), breeze_position(TCS, 1, 1), breeze_demat(TCS, 1)):
        assert {type(value) for value in row.values()} <= {str, type(None)}


def test_the_sdk_reads_the_odd_account() -> None:
    account = odd_kite_account()
    with kite_server(account) as kite:
        client = KiteConnect(account.api_key, account.new_access_token(), root=kite.url)
        holdings, positions = client.holdings(), client.positions()
    assert holdings == account.holdings
    assert positions == {"net": account.net, "day": account.day}
    assert {type(row["quantity"]) for row in holdings} == {int, str}
    assert [row["mtf"]["quantity"] for row in holdings if row["mtf"] and row["mtf"]["quantity"]] == [40]
    assert [row["pnl"] for row in positions["net"] if row["tradingsymbol"] == "INFY"] == [pytest.approx(175)]


def test_icicis_two_answers_differ_where_they_should() -> None:
    account = odd_breeze_account()
    held = {row["stock_code"]: row["quantity"] for row in account.holdings if row["exchange_code"] == "NSE"}
    stored = {row["stock_code"]: row["quantity"] for row in account.demat}
    assert stored.keys() - held.keys() == {"INFTEC", "GS754G"}
    assert held.keys() - stored.keys() == {"BHAAIR"}
    unlike = {code for code in held.keys() & stored.keys() if float(held[code]) != float(stored[code])}
    assert unlike == {"TCS", "RELIND", "HDFBAN"}


def test_as_many_holdings_as_wanted_are_all_different() -> None:
    for count in (3, 200):
        assert len({row["isin"] for row in many_kite_holdings(count)}) == count


@pytest.mark.parametrize("today", [date(2026, 11, 21) + timedelta(days=9 * number) for number in range(41)])
def test_the_demo_option_is_never_expired(today: date) -> None:
    option = call_option(today)
    expiry = date.fromisoformat(option.expiry)
    assert timedelta(days=7) <= expiry - today <= timedelta(days=45)
    assert expiry.weekday() == 1
    assert (expiry + timedelta(days=7)).month != expiry.month
    assert option.symbol == f"NIFTY{expiry:%y%b}24000CE".upper()


def test_the_demo_accounts_hold_something_worth_looking_at() -> None:
    kite = demo_kite_account("demo", BY_KEY, today=date(2026, 11, 21))
    breeze = demo_breeze_account("demo", BY_KEY)
    profits = [row["pnl"] for row in kite.holdings]
    assert len(profits) == 16
    assert min(profits) < 0 < max(profits)
    assert len(breeze.holdings) == len(breeze.demat) == 9


def test_nothing_but_what_make_run_installs_is_imported() -> None:
    modules = "upstreams.servers, upstreams.kite_ticker, upstreams.demo_accounts, upstreams.odd_accounts"
    program = f"import sys, {modules}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    folder = Path(__file__).parents[1]
    outcome = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    imported = set(outcome.stdout.split())
    assert {"starlette", "uvicorn", "websockets", "chassis"} <= imported
    assert not imported & {"pytest", "httpx", "hypothesis", "schemathesis", "kiteconnect", requests.__name__}
