"""How far a price has come over the standard periods."""

import calendar
from dataclasses import dataclass
from datetime import date

import numpy as np

from market.domain.bars import DailyBars

DECIMALS = 5
MONTHS_A_YEAR = 12


@dataclass(frozen=True, slots=True)
class PriceChange:
    """Changes in percent, to 5 decimals; None where there is less history.

    Attributes:
        day_1: over one session.
        day_5: over five sessions.
        month_1: over one month, as months and years are counted by the calendar.
        ytd: since the last close of the year before.
        max: since the first close known.
    """

    day_1: float | None = None
    day_5: float | None = None
    month_1: float | None = None
    month_3: float | None = None
    month_6: float | None = None
    ytd: float | None = None
    year_1: float | None = None
    year_3: float | None = None
    year_5: float | None = None
    year_10: float | None = None
    max: float | None = None


def price_change(bars: DailyBars) -> PriceChange:
    """Return how far the newest close is from earlier ones: (newest / earlier - 1) x 100.

    The earlier close is, for sessions, the one that many bars before the newest; for months and years, the last on or
    before the same day of that month, or the month's last day where it is shorter; for the year to date, the last of
    the year before; for max, the first there is. Where no bar is that old, the change is absent.

    Args:
        bars: adjusted for splits, as far back as is known.
    """
    newest = bars.last_session
    if newest is None:
        return PriceChange()
    return PriceChange(
        day_1=_change_from(bars, len(bars) - 2),
        day_5=_change_from(bars, len(bars) - 6),
        month_1=_change_since(bars, months_before(newest, 1)),
        month_3=_change_since(bars, months_before(newest, 3)),
        month_6=_change_since(bars, months_before(newest, 6)),
        ytd=_change_since(bars, date(newest.year - 1, 12, 31)),
        year_1=_change_since(bars, years_before(newest, 1)),
        year_3=_change_since(bars, years_before(newest, 3)),
        year_5=_change_since(bars, years_before(newest, 5)),
        year_10=_change_since(bars, years_before(newest, 10)),
        max=_change_from(bars, 0) if len(bars) > 1 else None,
    )


def months_before(day: date, months: int) -> date:
    """Return the same day some months earlier, or that month's last day where it is shorter."""
    year, month = divmod(day.year * MONTHS_A_YEAR + day.month - 1 - months, MONTHS_A_YEAR)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def years_before(day: date, years: int) -> date:
    """Return the same day some years earlier; for 29 February perhaps the 28th."""
    return months_before(day, years * MONTHS_A_YEAR)


def _change_since(bars: DailyBars, day: date) -> float | None:
    return _change_from(bars, int(np.searchsorted(bars.sessions, np.datetime64(day), side="right")) - 1)


def _change_from(bars: DailyBars, position: int) -> float | None:
    if position < 0:
        return None
    ratio = float(bars.close[-1]) / float(bars.close[position])
    return round((ratio - 1.0) * 100.0, DECIMALS) + 0.0  # the sum turns -0.0 into 0.0
