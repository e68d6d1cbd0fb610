"""What the vendors answer, field by field as documented; whole accounts are in `odd_accounts` and `demo_accounts`.

Every builder takes `**changed` last: fields to put in place of those it makes.
"""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from upstreams.instruments import Listing

Row = dict[str, Any]
INDIA = timezone(timedelta(hours=5, minutes=30))
CLOSE_RATIO = 0.995
"""The previous close of everything, as a part of its price."""


def _now() -> datetime:
    return datetime.now(UTC).astimezone(INDIA)


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def close_of(listing: Listing) -> float:
    """Return the previous close."""
    return round(listing.price * CLOSE_RATIO, 2)


def kite_session(api_key: str, user_id: str, access_token: str) -> Row:
    """Build the answer to a login."""
    return {
        **kite_profile(user_id),
        "api_key": api_key,
        "access_token": access_token,
        "public_token": access_token[::-1],
        "enctoken": access_token[::-1],
        "refresh_token": "",
        "silo": "",
        "login_time": _stamp(_now()),
    }


def kite_profile(user_id: str) -> Row:
    """Build the answer to `/user/profile`."""
    return {
        "user_id": user_id,
        "user_type": "individual",
        "user_name": "Demo User",
        "user_shortname": "Demo",
        "email": "demo@example.com",
        "broker": "ZERODHA",
        "exchanges": ["NSE", "BSE", "NFO", "BFO", "CDS", "MCX", "MF"],
        "products": ["CNC", "NRML", "MIS", "BO", "CO"],
        "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
        "avatar_url": None,
        "meta": {"demat_consent": "physical"},
    }


def kite_margins() -> Row:
    """Build the answer to `/user/margins`."""
    available = {
        "adhoc_margin": 0,
        "cash": 50000.25,
        "opening_balance": 50000.25,
        "live_balance": 48211.75,
        "collateral": 0,
        "intraday_payin": 0,
    }
    used = {
        "debits": 1788.5,
        "exposure": 0,
        "m2m_realised": 0,
        "m2m_unrealised": 0,
        "option_premium": 0,
        "payout": 0,
        "span": 0,
        "holding_sales": 0,
        "turnover": 0,
        "liquid_collateral": 0,
        "stock_collateral": 0,
        "delivery": 0,
    }
    segment = {"enabled": True, "net": 48211.75, "available": available, "utilised": used}
    return {"equity": segment, "commodity": segment}


def kite_holding(
    listing: Listing, quantity: int, average_price: float, /, *, t1_quantity: int = 0, **changed: Any
) -> Row:
    """Build a row of `/portfolio/holdings`; its pnl counts what is settled and what is not yet, as Kite's does."""
    close = close_of(listing)
    row = {
        "tradingsymbol": listing.symbol,
        "exchange": listing.exchange,
        "instrument_token": listing.token,
        "isin": listing.isin or "",
        "product": "CNC",
        "price": 0,
        "quantity": quantity,
        "used_quantity": 0,
        "t1_quantity": t1_quantity,
        "realised_quantity": quantity,
        "authorised_quantity": 0,
        "authorised_date": _now().strftime("%Y-%m-%d 00:00:00"),
        "authorisation": {},
        "opening_quantity": quantity + t1_quantity,
        "short_quantity": 0,
        "collateral_quantity": 0,
        "collateral_type": "",
        "discrepancy": False,
        "average_price": average_price,
        "last_price": listing.price,
        "close_price": close,
        "pnl": (listing.price - average_price) * (quantity + t1_quantity),
        "day_change": listing.price - close,
        "day_change_percentage": (listing.price - close) / close * 100 if close else 0,
        "mtf": {"quantity": 0, "used_quantity": 0, "average_price": 0, "value": 0, "initial_margin": 0},
    }
    return {**row, **changed}


def kite_position(
    listing: Listing,
    quantity: int,
    average_price: float,
    /,
    *,
    product: str = "MIS",
    multiplier: int = 1,
    **changed: Any,
) -> Row:
    """Build a row of `/portfolio/positions` that was opened today; a quantity below 0 is a short one."""
    bought, sold = max(quantity, 0), max(-quantity, 0)
    buy_value, sell_value = (units * average_price * multiplier for units in (bought, sold))
    profit = (sell_value - buy_value) + quantity * listing.price * multiplier
    row = {
        "tradingsymbol": listing.symbol,
        "exchange": listing.exchange,
        "instrument_token": listing.token,
        "product": product,
        "quantity": quantity,
        "overnight_quantity": 0,
        "multiplier": multiplier,
        "average_price": average_price if quantity else 0,
        "close_price": 0,
        "last_price": listing.price,
        "value": sell_value - buy_value,
        "pnl": profit,
        "m2m": profit,
        "unrealised": profit,
        "realised": 0,
        **_side("buy", bought, average_price, buy_value),
        **_side("sell", sold, average_price, sell_value),
    }
    return {**row, **changed}


def _side(side: str, quantity: int, price: float, value: float) -> Row:
    shown = {"quantity": quantity, "price": price if quantity else 0, "value": value}
    return {
        **{f"{side}_{field}": number for field, number in shown.items()},
        f"{side}_m2m": value,
        **{f"day_{side}_{field}": number for field, number in shown.items()},
    }


def kite_closed_position(
    listing: Listing, quantity: int, /, *, bought_at: float, sold_at: float, **changed: Any
) -> Row:
    """Build a row of a position that was opened and closed today: quantity 0, a realised profit."""
    buy_value, sell_value = quantity * bought_at, quantity * sold_at
    profit = sell_value - buy_value
    closed = {
        "value": profit,
        "pnl": profit,
        "m2m": profit,
        "realised": profit,
        "unrealised": 0,
        **_side("buy", quantity, bought_at, buy_value),
        **_side("sell", quantity, sold_at, sell_value),
    }
    return kite_position(listing, 0, 0, **{**closed, **changed})


def kite_price(listing: Listing) -> Row:
    """Build an entry of `/quote/ltp`."""
    return {"instrument_token": listing.token, "last_price": listing.price}


def _day(listing: Listing) -> dict[str, float]:
    return {
        "open": round(listing.price * 0.998, 2),
        "high": round(listing.price * 1.006, 2),
        "low": round(listing.price * 0.992, 2),
        "close": close_of(listing),
    }


def kite_bar(listing: Listing) -> Row:
    """Build an entry of `/quote/ohlc`."""
    return {**kite_price(listing), "ohlc": _day(listing)}


def kite_quote(listing: Listing) -> Row:
    """Build an entry of `/quote`; an index has neither volume nor depth."""
    if listing.segment == "INDICES":
        change = listing.price - close_of(listing)
        return {**kite_bar(listing), "timestamp": _stamp(_now()), "net_change": change}
    levels = [{"quantity": 25 * level, "price": listing.price, "orders": level} for level in range(1, 6)]
    return {
        **kite_bar(listing),
        "timestamp": _stamp(_now()),
        "last_trade_time": _stamp(_now() - timedelta(seconds=1)),
        "last_quantity": 5,
        "buy_quantity": 12_345,
        "sell_quantity": 23_456,
        "volume": 1_234_567,
        "average_price": round(listing.price * 1.001, 2),
        "oi": 0,
        "oi_day_high": 0,
        "oi_day_low": 0,
        "net_change": listing.price - close_of(listing),
        "lower_circuit_limit": round(listing.price * 0.9, 2),
        "upper_circuit_limit": round(listing.price * 1.1, 2),
        "depth": {"buy": levels, "sell": levels},
    }


def kite_candle(listing: Listing, day: datetime) -> list[Any]:
    """Build one day's candle."""
    bar = _day(listing)
    return [day.strftime("%Y-%m-%dT00:00:00+0530"), bar["open"], bar["high"], bar["low"], listing.price, 1_234_567]


def breeze_customer(user_id: str, session_token: str) -> Row:
    """Build the answer to `customerdetails`."""
    day = _now().strftime("%d-%b-%Y")
    return {
        "exg_trade_date": {"NSE": day, "BSE": day, "FNO": day, "NDX": day},
        "exg_status": {"NSE": "O", "BSE": "O", "FNO": "O", "NDX": "O"},
        "segments_allowed": {"Trading": "Y", "Equity": "Y", "Derivatives": "Y", "Currency": "N"},
        "idirect_userid": user_id,
        "session_token": session_token,
        "idirect_user_name": "DEMO USER",
        "idirect_ORD_TYP": "N",
        "idirect_lastlogin_time": _now().strftime("%d-%b-%Y %H:%M:%S"),
        "mf_holding_mode_popup_flg": "N",
        "commodity_exchange_status": "N",
        "commodity_trade_date": day,
        "commodity_allowed": "O",
    }


def breeze_holding(listing: Listing, quantity: int, average_price: float, /, **changed: Any) -> Row:
    """Build a row of `portfolioholdings`: numbers are strings, many fields null."""
    percent = (listing.price / close_of(listing) - 1) * 100
    row = {
        "stock_code": listing.icici_code,
        "exchange_code": listing.exchange,
        "quantity": str(quantity),
        "average_price": f"{average_price:.2f}",
        "booked_profit_loss": "0.00",
        "current_market_price": f"{listing.price:.2f}",
        "change_percentage": f"{percent:.2f}",
        "answer_flag": "N",
        "product_type": None,
        "expiry_date": None,
        "strike_price": None,
        "right": None,
        "category_index_per_stock": None,
        "action": None,
        "realized_profit": None,
        "unrealized_profit": None,
        "open_position_value": None,
        "portfolio_charges": None,
    }
    return {**row, **changed}


def breeze_demat(listing: Listing, quantity: int, /, *, blocked: int = 0, **changed: Any) -> Row:
    """Build a row of `dematholdings`: no price, but an ISIN."""
    row = {
        "stock_code": listing.icici_code,
        "stock_ISIN": listing.isin,
        "quantity": str(quantity),
        "demat_total_bulk_quantity": str(quantity),
        "demat_avail_quantity": str(quantity - blocked),
        "blocked_quantity": str(blocked),
        "demat_allocated_quantity": "0",
    }
    return {**row, **changed}


def breeze_position(
    listing: Listing, quantity: int, average_price: float, /, *, product_type: str = "Margin", **changed: Any
) -> Row:
    """Build a row of `portfoliopositions`; the quantity is unsigned, `action` says which side."""
    row = {
        "segment": "equity",
        "product_type": product_type,
        "exchange_code": listing.exchange,
        "stock_code": listing.icici_code,
        "expiry_date": None,
        "strike_price": None,
        "right": None,
        "action": "Buy" if quantity >= 0 else "Sell",
        "quantity": str(abs(quantity)),
        "average_price": f"{average_price:.2f}",
        "settlement_id": "2026221",
        "margin_amount": f"{abs(quantity) * average_price / 5:.2f}",
        "ltp": f"{listing.price:.2f}",
        "price": f"{listing.price:.2f}",
        "stock_index_indicator": None,
        "cover_quantity": "0",
        "stoploss_trigger": "0",
        "stoploss": None,
        "take_profit": None,
        "available_margin": None,
        "squareoff_mode": None,
        "mtf_sell_quantity": None,
        "mtf_net_amount_payable": None,
        "mtf_expiry_date": None,
        "order_id": "",
        "cover_order_flow": None,
        "cover_order_executed_quantity": None,
        "pledge_status": None,
        "pnl": None,
        "underlying": None,
        "order_segment_code": None,
    }
    return {**row, **changed}


def breeze_quote(listing: Listing) -> Row:
    """Build an entry of `quotes`."""
    bar = _day(listing)
    return {
        "exchange_code": listing.exchange,
        "product_type": "",
        "stock_code": listing.icici_code,
        "expiry_date": None,
        "right": None,
        "strike_price": 0.0,
        "ltp": listing.price,
        "ltt": _now().strftime("%d-%b-%Y %H:%M:%S"),
        "best_bid_price": listing.price,
        "best_bid_quantity": "49",
        "best_offer_price": round(listing.price * 1.0001, 2),
        "best_offer_quantity": "70",
        "open": bar["open"],
        "high": bar["high"],
        "low": bar["low"],
        "previous_close": bar["close"],
        "ltp_percent_change": round((listing.price / bar["close"] - 1) * 100, 2),
        "upper_circuit": round(listing.price * 1.1, 2),
        "lower_circuit": round(listing.price * 0.9, 2),
        "total_quantity_traded": "1234567",
        "spot_price": None,
    }


def breeze_funds() -> Row:
    """Build the answer to `funds`."""
    return {
        "bank_account": "000000000000",
        "total_bank_balance": 50000.0,
        "allocated_equity": 20000.0,
        "allocated_fno": 0.0,
        "allocated_commodity": 0.0,
        "allocated_currency": 0.0,
        "block_by_trade_equity": 0.0,
        "block_by_trade_fno": 0.0,
        "block_by_trade_commodity": 0.0,
        "block_by_trade_currency": 0.0,
        "block_by_trade_balance": 0.0,
        "unallocated_balance": "30000",
    }


def breeze_candle(listing: Listing, day: datetime) -> Row:
    """Build one day of `historicalcharts`."""
    bar = _day(listing)
    return {
        "close": listing.price,
        "datetime": day.strftime("%Y-%m-%d 00:00:00"),
        "exchange_code": listing.exchange,
        "high": bar["high"],
        "low": bar["low"],
        "open": bar["open"],
        "stock_code": listing.icici_code,
        "volume": 1_234_567,
    }
