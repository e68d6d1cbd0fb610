"""Figures of the past year and of the company that stand beside a price."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QuoteDetails:
    """What a source says beside a price; None is what it does not say.

    Attributes:
        year_high: the highest price of 52 weeks, adjusted for splits, as are the next three.
        year_low: the lowest price of 52 weeks.
        price_avg50: the mean close of the last 50 sessions.
        price_avg200: the mean close of the last 200 sessions.
        avg_volume: the mean of units traded a session.
        market_cap: price times shares, in the instrument's currency.
        eps: earnings a share of the last twelve months.
        pe: the price in earnings a share.
    """

    year_high: float | None = None
    year_low: float | None = None
    price_avg50: float | None = None
    price_avg200: float | None = None
    avg_volume: int | None = None
    market_cap: float | None = None
    eps: float | None = None
    pe: float | None = None
