"""Accounts with the odd rows that real ones have; every one of them must sync.

`BY_KEY` instruments keep their documented prices, so that a test can work out what a row is worth.
"""

from dataclasses import replace
from typing import Any

from upstreams.breeze_accounts import BreezeAccount
from upstreams.instruments import BY_KEY, Listing, isin_of
from upstreams.kite_accounts import KiteAccount
from upstreams.payloads import (
    breeze_demat,
    breeze_holding,
    breeze_position,
    kite_closed_position,
    kite_holding,
    kite_position,
)

Row = dict[str, Any]
UNKNOWN = Listing("NSE", "ZZDELISTED", "NOBODY KNOWS IT", 65000, 12.05, isin_of("INE999Z0101"), "ZZDELI")


def nse(symbol: str) -> Listing:
    """Return an NSE instrument."""
    return BY_KEY[f"NSE:{symbol}"]


def odd_kite_holdings() -> list[Row]:
    """Build holdings, one oddity a row; the ISINs are all different but for one share held on both exchanges."""
    mtf = {"quantity": 40, "used_quantity": 0, "average_price": 785.5, "value": 31420.0, "initial_margin": 7855.0}
    return [
        kite_holding(nse("TCS"), 10, 3600.0),
        kite_holding(nse("INFY"), 0, 1490.25, t1_quantity=5),
        kite_holding(nse("RELIANCE"), 12, 1301.4, t1_quantity=3),
        kite_holding(nse("HDFCBANK"), 8, 0),
        kite_holding(nse("SBIN"), 0, 0, product="MTF", mtf=mtf, pnl=(795 - 785.5) * 40),
        kite_holding(nse("ITC"), 100, 402.35, discrepancy=True),
        kite_holding(nse("LT"), 15, 3401.1, collateral_quantity=10, collateral_type="WC"),
        kite_holding(nse("AXISBANK"), 20, 1100, used_quantity=5, authorised_quantity=5),
        kite_holding(nse("M&M"), 7, 2700.05),
        kite_holding(nse("BAJAJ-AUTO"), 1, 9100),
        kite_holding(nse("NIFTYBEES"), 250, 241.1764705882353),
        kite_holding(nse("SGBJUN31I-GB"), 4, 5926),
        kite_holding(nse("754GS2036-GS"), 200, 101.22),
        kite_holding(nse("WIPRO"), 30, 240.5, last_price="252.00", average_price="240.50", quantity="30"),
        kite_holding(nse("TITAN"), 2, 3300, close_price=None, authorised_date=None, collateral_type=None, mtf=None),
        kite_holding(nse("TATASTEEL"), 60, 131.2, holding_flag="Y", settlement={"type": "T0", "quantity": 0}),
        kite_holding(replace(nse("KOTAKBANK"), price=0), 3, 1800, day_change=0, day_change_percentage=0),
        kite_holding(UNKNOWN, 500, 48.8),
        kite_holding(BY_KEY["BSE:RELIANCE"], 2, 1399),
        kite_holding(nse("HINDUNILVR"), 0, 0, realised_quantity=0),
    ]


def odd_kite_net() -> list[Row]:
    """Build net positions: closed ones, shorts, an option, a future, a currency and a commodity, some overnight."""
    call, future = BY_KEY["NFO:NIFTY26NOV24000CE"], BY_KEY["NFO:NIFTY26NOVFUT"]
    return [
        kite_position(nse("SBIN"), 25, 790.1),
        kite_position(nse("TATASTEEL"), -100, 156.05),
        kite_closed_position(nse("INFY"), 20, bought_at=1571.5, sold_at=1580.25),
        kite_position(call, 150, 171.2, product="NRML", overnight_quantity=75, close_price=165.4),
        kite_position(future, -75, 24100.0, product="NRML", overnight_quantity=-75, close_price=24010.0),
        kite_position(BY_KEY["CDS:USDINR26NOVFUT"], 10, 88.75, product="NRML", multiplier=1000),
        kite_position(BY_KEY["MCX:GOLDPETAL26NOVFUT"], 3, 12380, product="NRML"),
        kite_position(nse("ITC"), 10, 420, average_price="420.00", buy_m2m=None, tag="undocumented"),
    ]


def odd_kite_day() -> list[Row]:
    """Build the day's positions: those opened today."""
    return [row for row in odd_kite_net() if row["overnight_quantity"] == 0]


def odd_kite_account(**fields: Any) -> KiteAccount:
    """Open a Kite account with all of these."""
    return KiteAccount(holdings=odd_kite_holdings(), net=odd_kite_net(), day=odd_kite_day(), **fields)


def odd_breeze_holdings() -> list[Row]:
    """Build ICICI's holdings: they know prices, but no ISIN; some disagree with the demat account."""
    future = {"product_type": "Futures", "expiry_date": "24-Nov-2026", "strike_price": "0", "right": "Others"}
    option = {"product_type": "Options", "expiry_date": "24-Nov-2026", "strike_price": "24000", "right": "Call"}
    index = Listing("NFO", "NIFTY", "NIFTY", 60003, 24055.5, icici_code="NIFTY")
    return [
        breeze_holding(nse("TCS"), 10, 3600),
        breeze_holding(nse("RELIANCE"), 25, 1301.4),
        breeze_holding(nse("HDFCBANK"), 8, 1650.75),
        breeze_holding(nse("SBIN"), 40, 0, average_price="0"),
        breeze_holding(nse("ITC"), 5, 402.35, current_market_price=None, change_percentage=None),
        breeze_holding(nse("M&M"), 7, 2700.05, quantity="7.00", average_price="2,700.05"),
        breeze_holding(nse("BHARTIARTL"), 6, 1500, undocumented_field="kept for later"),
        breeze_holding(UNKNOWN, 500, 48.8),
        breeze_holding(nse("WIPRO"), 0, 240.5, booked_profit_loss="1250.40"),
        breeze_holding(BY_KEY["BSE:TCS"], 2, 3555.5),
        breeze_holding(index, 75, 24010, **future, action="Buy", open_position_value="1800750.00"),
        breeze_holding(index, 150, 171.2, **option, action="Sell", unrealized_profit="-1672.50"),
    ]


def odd_breeze_demat() -> list[Row]:
    """Build ICICI's demat account: it knows ISINs, but no price.

    Against the holdings: TCS and others agree; HDFC Bank has more (a bonus), Reliance less (sold, not yet delivered);
    Bharti is not there yet; Infosys and a bond are only there.
    """
    bond = replace(nse("754GS2036-GS"), icici_code="GS754G")
    return [
        breeze_demat(nse("TCS"), 12),
        breeze_demat(nse("RELIANCE"), 20, blocked=5),
        breeze_demat(nse("HDFCBANK"), 16),
        breeze_demat(nse("SBIN"), 40),
        breeze_demat(nse("ITC"), 5, demat_allocated_quantity="5", demat_avail_quantity="0"),
        breeze_demat(nse("M&M"), 7),
        breeze_demat(nse("INFY"), 30),
        breeze_demat(bond, 200),
        breeze_demat(UNKNOWN, 500, blocked_quantity=None),
        breeze_demat(nse("WIPRO"), 0),
    ]


def odd_breeze_positions() -> list[Row]:
    """Build ICICI's positions: margin and intraday shares, a short, a future and an option."""
    index = Listing("NFO", "NIFTY", "NIFTY", 60003, 24055.5, icici_code="NIFTY")
    contract = {"segment": "fno", "expiry_date": "24-Nov-2026", "stock_index_indicator": "Index", "underlying": "NIFTY"}
    return [
        breeze_position(nse("SBIN"), 25, 790.1),
        breeze_position(nse("TATASTEEL"), -100, 156.05, product_type="Intraday", ltp=None),
        breeze_position(index, 75, 24010, product_type="Futures", right="Others", strike_price="0", **contract),
        breeze_position(index, -75, 182.35, product_type="Options", right="Call", strike_price="24000", **contract),
        breeze_position(nse("INFY"), 0, 1571.5, pnl="175.00", action=None),
    ]


def odd_breeze_account(**fields: Any) -> BreezeAccount:
    """Open a Breeze account with all of these."""
    return BreezeAccount(
        holdings=odd_breeze_holdings(), demat=odd_breeze_demat(), positions=odd_breeze_positions(), **fields
    )


def many_kite_holdings(count: int) -> list[Row]:
    """Build this many holdings of as many shares; the first are those everybody knows, the rest are made up."""
    known = [listing for listing in BY_KEY.values() if listing.exchange == "NSE" and listing.icici_code]
    made_up = [
        Listing(
            "NSE", f"LOAD{number:04}", f"LOAD {number}", 70_000 + number, 100 + number, isin_of(f"INE{number:06}01")
        )
        for number in range(max(0, count - len(known)))
    ]
    shares = [*known, *made_up][:count]
    return [kite_holding(share, 1 + number, round(share.price * 0.9, 2)) for number, share in enumerate(shares)]
