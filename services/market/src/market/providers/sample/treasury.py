"""Made-up yields of treasuries: a curve whose level, slope and bend wander smoothly.

The curve has the form of Nelson and Siegel ("Parsimonious Modeling of Yield Curves", Journal of Business, 1987).
"""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

import numpy as np
import numpy.typing as npt

from market.domain.sessions import TIMEZONE_OF_VENUE, Venue
from market.domain.treasury import MATURITIES, TreasuryRates
from market.providers.sample.daily import FIRST_PAST_DAY
from market.providers.sample.hours import SATURDAY
from market.providers.sample.noise import Floats, Purpose, hashed, uniform

YEARS = np.array([1 / 12, 2 / 12, 3 / 12, 6 / 12, 1, 2, 3, 5, 7, 10, 20, 30])
BEND_YEARS = 2.0
PUBLISHED_AT = time(18, 0)
LEAST_YIELD = 0.01

# The middle and the reach of each factor, in percent, and the days over which it wanders.
LEVEL, SLOPE, BEND = (4.6, 1.0), (-0.8, 1.4), (-0.6, 1.0)
SPANS = (1024, 256, 64, 16, 4)


class TreasuryDesk:
    """Answers the yields of weekdays since FIRST_PAST_DAY.

    Args:
        seed: what all randomness starts from.
    """

    def __init__(self, *, seed: int) -> None:
        self._seed = seed

    def rates(self, first: date, last: date, moment: datetime) -> Sequence[TreasuryRates]:
        """Return the yields from `first` to `last`, both with, that are published at a moment, oldest first."""
        begin, end = max(first, FIRST_PAST_DAY), min(last, _last_published(moment))
        days = [begin + timedelta(days=offset) for offset in range((end - begin).days + 1)]
        weekdays = [day for day in days if day.weekday() < SATURDAY]
        if not weekdays:
            return []
        yields = self._yields(np.array([day.toordinal() for day in weekdays])).tolist()
        return [
            TreasuryRates(day, dict(zip(MATURITIES, row, strict=True)))
            for day, row in zip(weekdays, yields, strict=True)
        ]

    def _yields(self, days: npt.NDArray[np.int64]) -> Floats:
        """Return yields in percent, shape [days, maturities]."""
        level, slope, bend = (
            middle + reach * self._wander(days, factor)[:, None]
            for factor, (middle, reach) in enumerate((LEVEL, SLOPE, BEND))
        )
        decay = np.exp(-YEARS / BEND_YEARS)
        loading = (1.0 - decay) / (YEARS / BEND_YEARS)
        yields: Floats = np.round(level + slope * loading + bend * (loading - decay), 2)
        return np.maximum(yields, LEAST_YIELD)

    def _wander(self, days: npt.NDArray[np.int64], factor: int) -> Floats:
        """Return numbers between -1 and 1 that change the less from one day to the next the longer their span."""
        total = np.zeros(len(days))
        for span in SPANS:
            knot, share = days // span, (days % span) / span
            before, after = (
                2.0 * uniform(hashed(self._seed, Purpose.YIELD, factor, span, knot + step)) - 1.0 for step in (0, 1)
            )
            total += np.sqrt(span) * (before * (1.0 - share) + after * share)
        wander: Floats = total / np.sqrt(SPANS).sum()
        return wander


def _last_published(moment: datetime) -> date:
    """Return the last day whose yields are known."""
    there = moment.astimezone(TIMEZONE_OF_VENUE[Venue.UNITED_STATES])
    return there.date() - timedelta(days=there.time() < PUBLISHED_AT)
