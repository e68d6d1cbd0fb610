"""Prices as market knows them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


class Freshness(StrEnum):
    """How far a price can be relied on to be the current one."""

    LIVE = "LIVE"
    DELAYED = "DELAYED"
    STALE = "STALE"
    CLOSED = "CLOSED"
    SIMULATED = "SIMULATED"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a price comes from, when it was made, and how far it can be relied on."""

    source: str
    as_of: datetime
    freshness: Freshness


@dataclass(frozen=True, slots=True)
class Quote:
    """What one instrument costs.

    Attributes:
        last_price: above 0, in the currency.
        previous_close: the previous session's close, on the same units as last_price; None when unknown.
        provenance: where the price comes from.
        currency: its ISO 4217 code.
    """

    last_price: Decimal
    previous_close: Decimal | None
    provenance: Provenance
    currency: str = "INR"


@dataclass(frozen=True, slots=True)
class QuoteAnswer:
    """What market said of the instruments it was asked for.

    Attributes:
        quotes: by instrument; one that market does not know, or has no price of, is not in it.
        unanswered: those that market said nothing of, in time.
    """

    quotes: Mapping[str, Quote]
    unanswered: frozenset[str]


@dataclass(frozen=True, slots=True)
class TickerPrice:
    """A price to be shown, never summed.

    Attributes:
        last_price: above 0, in the instrument's currency.
        change: since the previous close; None when that is unknown.
        change_percent: the same in percent; None when that is unknown.
        provenance: where the price comes from.
    """

    last_price: float
    change: float | None
    change_percent: float | None
    provenance: Provenance
