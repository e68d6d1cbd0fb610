"""Which price a row is valued at: market's, or the broker's own where that is newer or nothing may stand for it."""

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

from portfolio.domain.amounts import rounded, scaled, trimmed
from portfolio.domain.days import day_in_india
from portfolio.domain.quotes import Freshness, Provenance, Quote, QuoteAnswer
from portfolio.domain.rows import BrokerRow, Sync, quoted_instrument
from portfolio.domain.splits import UNCHANGED, KnownSplits

_PRICE_STEP = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class MarketView:
    """What market says, to value rows as of one day in India."""

    quotes: QuoteAnswer
    splits: KnownSplits
    day: date


@dataclass(frozen=True, slots=True)
class Price:
    """What a row is valued at.

    Attributes:
        last_price: a unit's price, in the units of the day it was made.
        previous_close: the close before it, in the same units; None when unknown.
        factor: by what units were multiplied since that day.
        provenance: where the price comes from.
    """

    last_price: Decimal
    previous_close: Decimal | None
    factor: Fraction
    provenance: Provenance

    @property
    def unit_price(self) -> Decimal:
        """Return the price of one of today's units, for show."""
        return per_unit(self.last_price, self.factor)


@dataclass(frozen=True, slots=True)
class Pricing:
    """A row's price and units.

    Attributes:
        price: None when nobody has one.
        unit_factor: by what the row's units were multiplied since its sync.
        quote: what market said of it, whether it is the price or not; None when market knows nothing of it.
    """

    price: Price | None
    unit_factor: Fraction
    quote: Quote | None


def per_unit(price: Decimal, factor: Fraction) -> Decimal:
    """Return what a price of old units is for a new one, to six decimals where it had to be changed."""
    if factor is UNCHANGED:
        return price
    return trimmed(rounded(scaled(price, 1 / factor), _PRICE_STEP))


def pricing_of(row: BrokerRow, sync: Sync, view: MarketView) -> Pricing:
    """Choose a row's price, and say how its units changed since the sync.

    Price and units always agree. What came with a sync is of the sync's day and in its units; a quote is in the units
    of the day it was made. Where market cannot say what happened to the units since the older of these days, the row
    keeps the units and the price of its sync.
    """
    instrument = quoted_instrument(row)
    if instrument is None:
        return Pricing(_broker_price(row, sync, UNCHANGED), UNCHANGED, None)
    unit_factor = view.splits.factor(instrument, after=sync.date, through=view.day)
    quote = view.quotes.quotes.get(instrument)
    if unit_factor is None:
        return Pricing(_broker_price(row, sync, UNCHANGED), UNCHANGED, quote)
    if quote is not None and _replaces(quote, row, sync):
        made_on = day_in_india(quote.provenance.as_of)
        price_factor = view.splits.factor(instrument, after=made_on, through=view.day)
        if price_factor is not None:
            return Pricing(_quoted_price(quote, sync, price_factor), unit_factor, quote)
    return Pricing(_broker_price(row, sync, unit_factor), unit_factor, quote)


def may_stand_for(quote: Quote, sync: Sync) -> bool:
    """Say whether a quote may price a sync's rows at all: a simulated price never stands in for a real one."""
    return sync.is_simulated or quote.provenance.freshness is not Freshness.SIMULATED


def _replaces(quote: Quote, row: BrokerRow, sync: Sync) -> bool:
    if not may_stand_for(quote, sync):
        return False
    # The last price of a closed market is the broker's last price too, whenever the sync was made after it.
    if row.last_price is None or quote.provenance.freshness is Freshness.CLOSED:
        return True
    return quote.provenance.as_of >= sync.synced_at


def _quoted_price(quote: Quote, sync: Sync, factor: Fraction) -> Price:
    provenance = quote.provenance
    if sync.is_simulated:
        provenance = replace(provenance, freshness=Freshness.SIMULATED)
    return Price(quote.last_price, quote.previous_close, factor, provenance)


def _broker_price(row: BrokerRow, sync: Sync, factor: Fraction) -> Price | None:
    if row.last_price is None:
        return None
    freshness = Freshness.SIMULATED if sync.is_simulated else Freshness.STALE
    provenance = Provenance(sync.broker.value, sync.synced_at, freshness)
    return Price(row.last_price, row.close_price, factor, provenance)
