"""Prices as they stand, with where they come from and how old they are."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from market.domain.instruments import Instrument

CHANGE_DECIMALS = 6
PERCENT_DECIMALS = 4


class Freshness(StrEnum):
    """How far a price can be relied on to be the current one."""

    LIVE = "LIVE"
    DELAYED = "DELAYED"
    STALE = "STALE"
    CLOSED = "CLOSED"
    SIMULATED = "SIMULATED"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a price comes from and how old it is.

    Attributes:
        source: the name of the source.
        as_of: when the price was made.
        freshness: how far it can be relied on.
    """

    source: str
    as_of: datetime
    freshness: Freshness

    def gone_stale(self) -> "Provenance":
        """Return this provenance for a price that outlived its source; what is simulated stays so."""
        if self.freshness is Freshness.SIMULATED:
            return self
        return replace(self, freshness=Freshness.STALE)


@dataclass(frozen=True, slots=True)
class Quote:
    """What one instrument costs.

    Attributes:
        instrument: what is priced.
        last_price: the last traded price, above 0, in the instrument's currency.
        provenance: where the price comes from.
        previous_close: the previous session's close; None for a first session.
        open: the session's first price; None before it.
        high: the session's highest price; None before its first.
        low: the session's lowest price; None before its first.
        volume: units traded in the session; None where there is no volume.
    """

    instrument: Instrument
    last_price: float
    provenance: Provenance
    previous_close: float | None = None
    open: float | None = None
    high: float | None = None
    low: float | None = None
    volume: int | None = None

    @property
    def change(self) -> float | None:
        """Return last_price less previous_close; None without one."""
        if self.previous_close is None:
            return None
        return round(self.last_price - self.previous_close, CHANGE_DECIMALS)

    @property
    def change_percent(self) -> float | None:
        """Return the change in percent of previous_close; None without one."""
        return change_percent(self.last_price, self.previous_close)

    def judged(self, freshness: Freshness) -> "Quote":
        """Return this quote with another freshness."""
        return replace(self, provenance=replace(self.provenance, freshness=freshness))

    def gone_stale(self) -> "Quote":
        """Return this quote as one that outlived its source."""
        return replace(self, provenance=self.provenance.gone_stale())


def change_percent(last_price: float, previous_close: float | None) -> float | None:
    """Return by how many percent a price differs from the previous close; None when there is none."""
    if previous_close is None:
        return None
    return round((last_price / previous_close - 1.0) * 100.0, PERCENT_DECIMALS)
