"""Breeze's quotes as ours."""

from collections.abc import Iterable, Mapping
from typing import Any

from brokers.domain.quotes import BrokerQuote
from brokers.providers.prices import indian_time, price_of, volume_of

Stock = tuple[str, str]

_TIME = "%d-%b-%Y %H:%M:%S"


def parse_quotes(answers: Iterable[Any], instruments: Mapping[Stock, str]) -> dict[str, BrokerQuote]:
    """Return the quotes of those stocks that have a price and a time.

    Args:
        answers: what the job `breeze_quotes` answered.
        instruments: ours, by exchange and ICICI's stock code.
    """
    found: dict[str, BrokerQuote] = {}
    for exchange, code, rows in answers:
        instrument = instruments[exchange, code]
        quote = next((_quote(instrument, row) for row in rows if row.get("exchange_code") == exchange), None)
        if quote is not None:
            found[instrument] = quote
    return found


def _quote(instrument: str, row: Mapping[str, Any]) -> BrokerQuote | None:
    last_price = price_of(row.get("ltp"))
    as_of = indian_time(row.get("ltt"), _TIME)
    if last_price is None or as_of is None:
        return None
    return BrokerQuote(
        instrument=instrument,
        last_price=last_price,
        as_of=as_of,
        previous_close=price_of(row.get("previous_close")),
        open=price_of(row.get("open")),
        high=price_of(row.get("high")),
        low=price_of(row.get("low")),
        volume=volume_of(row.get("total_quantity_traded")),
    )
