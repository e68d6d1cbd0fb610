"""Figures of the past year, from daily bars."""

from datetime import timedelta

import numpy as np

from market.domain.bars import DailyBars
from market.domain.quote_details import QuoteDetails

YEAR = timedelta(weeks=52)
SHORT_AVERAGE, LONG_AVERAGE = 50, 200
VOLUME_SESSIONS = 50
DECIMALS = 6


def year_figures(bars: DailyBars) -> QuoteDetails:
    """Return highs, lows and averages up to the newest bar.

    year_high and year_low are the highest and the lowest price of the sessions of the 52 weeks that end with the newest
    one, or of all where there are fewer. price_avg50 and price_avg200 are the means of the newest 50 and 200 closes,
    and avg_volume that of the newest 50 volumes, to a whole unit; each is None where there are fewer bars.

    Args:
        bars: adjusted for splits; 52 weeks of them, and 200, are enough.
    """
    newest = bars.last_session
    if newest is None:
        return QuoteDetails()
    year = bars.since(newest - YEAR + timedelta(days=1))
    return QuoteDetails(
        year_high=float(year.high.max()),
        year_low=float(year.low.min()),
        price_avg50=_average_close(bars, SHORT_AVERAGE),
        price_avg200=_average_close(bars, LONG_AVERAGE),
        avg_volume=_average_volume(bars),
    )


def _average_close(bars: DailyBars, count: int) -> float | None:
    if len(bars) < count:
        return None
    return round(float(np.mean(bars.close[-count:])), DECIMALS)


def _average_volume(bars: DailyBars) -> int | None:
    if bars.volume is None or len(bars) < VOLUME_SESSIONS:
        return None
    return round(float(np.mean(bars.volume[-VOLUME_SESSIONS:])))
