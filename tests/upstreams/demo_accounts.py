"""A believable account at each broker, for the sandbox: shares of the sample market, near its prices."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

from upstreams.breeze_accounts import BreezeAccount
from upstreams.instruments import BY_KEY, LISTINGS, Listing
from upstreams.kite_accounts import KiteAccount
from upstreams.payloads import (
    breeze_demat,
    breeze_holding,
    breeze_position,
    kite_closed_position,
    kite_holding,
    kite_position,
)

PREFIX = "sandbox-"
KITE_KEY = "sandbox-zerodha"
BREEZE_KEY = "sandbox-icici"

KITE_HOLDINGS = {
    "TCS": (12, 0.91),
    "INFY": (40, 0.84),
    "RELIANCE": (35, 1.06),
    "HDFCBANK": (50, 0.78),
    "ITC": (300, 0.97),
    "LT": (9, 0.71),
    "BHARTIARTL": (22, 0.55),
    "HINDUNILVR": (10, 1.09),
    "AXISBANK": (45, 0.93),
    "MARUTI": (3, 0.82),
    "M&M": (14, 0.64),
    "ASIANPAINT": (8, 1.21),
    "TATASTEEL": (400, 0.88),
    "NIFTYBEES": (150, 0.86),
    "GOLDBEES": (500, 0.61),
}
"""By NSE symbol: how many, and what part of today's price was paid."""
BREEZE_HOLDINGS = {
    "ICICIBANK": (60, 0.74),
    "SBIN": (100, 0.81),
    "RELIANCE": (20, 0.95),
    "SUNPHARMA": (18, 0.88),
    "WIPRO": (120, 1.04),
    "TITAN": (6, 0.97),
    "KOTAKBANK": (11, 1.02),
    "HCLTECH": (25, 0.79),
    "BAJAJ-AUTO": (2, 0.9),
}
"""The same at ICICI."""


def priced(prices: Mapping[str, float]) -> list[Listing]:
    """Return all instruments, at these prices by `EXCHANGE:SYMBOL` where there are any."""
    return [replace(listing, price=prices.get(listing.key, listing.price)) for listing in LISTINGS]


def call_option(today: date) -> Listing:
    """Return a call on the Nifty that expires on the last Tuesday of a month, a week from now or later."""
    far = today + timedelta(days=7)
    month_ends = ((far.replace(day=1) + timedelta(days=32 * months)).replace(day=1) for months in (1, 2))
    tuesdays = (end - timedelta(days=(end.weekday() - 2) % 7 + 1) for end in month_ends)
    expiry = next(day for day in tuesdays if day >= far)
    symbol = f"NIFTY{expiry:%y%b}24000CE".upper()
    return replace(BY_KEY["NFO:NIFTY26NOV24000CE"], symbol=symbol, expiry=expiry.isoformat())


def demo_kite_account(api_secret: str, listings: Mapping[str, Listing], *, today: date) -> KiteAccount:
    """Open a demo account at Zerodha; any request_token that begins with `sandbox-` works once."""
    held = [(listings[f"NSE:{symbol}"], *terms) for symbol, terms in KITE_HOLDINGS.items()]
    holdings = [kite_holding(share, quantity, round(share.price * paid, 2)) for share, quantity, paid in held]
    holdings.append(kite_holding(listings["NSE:SBIN"], 0, round(listings["NSE:SBIN"].price * 0.99, 2), t1_quantity=20))
    sbin, wipro = listings["NSE:SBIN"], listings["NSE:WIPRO"]
    opened_today = [
        kite_position(sbin, 50, round(sbin.price * 0.995, 2)),
        kite_closed_position(wipro, 100, bought_at=round(wipro.price * 0.99, 2), sold_at=round(wipro.price * 1.005, 2)),
    ]
    overnight = kite_position(call_option(today), 75, 171.2, product="NRML", overnight_quantity=75, close_price=165.4)
    return KiteAccount(
        *(KITE_KEY, api_secret, "DEMO01"),
        holdings=holdings,
        net=[*opened_today, overnight],
        day=opened_today,
        token_prefix=PREFIX,
    )


def demo_breeze_account(api_secret: str, listings: Mapping[str, Listing]) -> BreezeAccount:
    """Open a demo account at ICICI; any api_session that begins with `sandbox-` works once."""
    held = [(listings[f"NSE:{symbol}"], *terms) for symbol, terms in BREEZE_HOLDINGS.items()]
    axis = listings["NSE:AXISBANK"]
    return BreezeAccount(
        *(BREEZE_KEY, api_secret, "DEMO01"),
        holdings=[breeze_holding(share, quantity, round(share.price * paid, 2)) for share, quantity, paid in held],
        demat=[breeze_demat(share, quantity) for share, quantity, _ in held],
        positions=[breeze_position(axis, 30, round(axis.price * 0.99, 2))],
        api_session_prefix=PREFIX,
    )
