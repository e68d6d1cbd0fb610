"""A broker's quote as the brokers service says it, made one of ours."""

import math
from datetime import UTC

from bourse.brokers.v1 import quotes_pb2
from market.domain.instruments import Instrument
from market.domain.ports import FreshnessRule
from market.domain.quotes import Provenance, Quote


def quote_of(
    message: quotes_pb2.BrokerQuote, instrument: Instrument, *, source: str, rule: FreshnessRule
) -> Quote | None:
    """Return the quote of an instrument; None when its price is no price or has no time.

    Other fields that are no prices count as absent: brokers write 0 for what has not happened yet.
    """
    if not _is_price(message.last_price) or not message.HasField("as_of"):
        return None
    as_of = message.as_of.ToDatetime(tzinfo=UTC)
    return Quote(
        instrument=instrument,
        last_price=message.last_price,
        provenance=Provenance(source, as_of, rule.of(instrument, as_of)),
        previous_close=_price(message.previous_close),
        open=_price(message.open),
        high=_price(message.high),
        low=_price(message.low),
        volume=message.volume if message.HasField("volume") and message.volume >= 0 else None,
    )


def _price(value: float) -> float | None:
    return value if _is_price(value) else None


def _is_price(value: float) -> bool:
    return math.isfinite(value) and value > 0
