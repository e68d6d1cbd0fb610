"""Kite's quotes and instruments as ours."""

from collections.abc import Iterable, Mapping
from typing import Any

from brokers.domain.quotes import BrokerQuote
from brokers.providers.kite.names import kite_name
from brokers.providers.prices import indian_time, price_of, volume_of

_TIME = "%Y-%m-%dT%H:%M:%S"


def parse_quotes(rows: Mapping[str, Any], instruments: Iterable[str]) -> dict[str, BrokerQuote]:
    """Return the quotes of those instruments that have a price and a time.

    Args:
        rows: what the job `kite_quotes` answered.
        instruments: ours.
    """
    quotes = ((each, _quote(each, rows.get(kite_name(each) or ""))) for each in instruments)
    return {instrument: quote for instrument, quote in quotes if quote is not None}


def parse_tokens(rows: Iterable[Any], instruments: Iterable[str]) -> dict[str, int]:
    """Return Kite's `instrument_token` of those instruments that Kite lists, in the order of `instruments`.

    Args:
        rows: what the job `kite_instruments` answered.
        instruments: ours.
    """
    tokens = {f"{exchange}:{symbol}": token for exchange, symbol, token in rows}
    return {each: tokens[name] for each in instruments if (name := kite_name(each)) is not None and name in tokens}


def _quote(instrument: str, row: Any) -> BrokerQuote | None:
    if not isinstance(row, dict):
        return None
    last_price = price_of(row.get("last_price"))
    as_of = indian_time(row.get("timestamp"), _TIME)
    if last_price is None or as_of is None:
        return None
    session = row.get("ohlc")
    bar = session if isinstance(session, dict) else {}
    return BrokerQuote(
        instrument=instrument,
        last_price=last_price,
        as_of=as_of,
        previous_close=price_of(bar.get("close")),
        open=price_of(bar.get("open")),
        high=price_of(bar.get("high")),
        low=price_of(bar.get("low")),
        volume=volume_of(row.get("volume")),
    )
