"""The sample market's bars of any day since FIRST_PAST_DAY, an instrument at a time.

What lies before FIRST_DAY is made when it is asked for, and of few instruments kept.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime

import numpy as np
import numpy.typing as npt

from market.domain.bars import DailyBars
from market.domain.capabilities import NothingKnown
from market.domain.instruments import Instrument
from market.domain.sessions import Venue, venue_of
from market.domain.ticks import microseconds_of
from market.providers.reference.listing import Listed
from market.providers.sample.daily import KINDS_WITH_VOLUME, PAST_DAYS, DailyPrices
from market.providers.sample.hours import SessionTimes
from market.providers.sample.path import DayBar

KEPT_PASTS = 16

Rows = npt.NDArray[np.int64]
Columns = npt.NDArray[np.intp]


class History:
    """Finished sessions of every instrument, and their bars.

    Args:
        listing: the instruments.
        times: the sessions of every venue.
        daily: returns daily prices that reach a given row.
        seed: what all randomness starts from.
    """

    def __init__(
        self,
        listing: Sequence[Listed],
        times: Mapping[Venue, SessionTimes],
        *,
        daily: Callable[[int], DailyPrices],
        seed: int,
    ) -> None:
        self._listing = listing
        self._times = times
        self._daily = daily
        self._seed = seed
        self._columns = {each.instrument.id: column for column, each in enumerate(listing)}
        self._pasts: OrderedDict[int, DailyPrices] = OrderedDict()

    def has(self, instrument: Instrument) -> bool:
        """Say whether an instrument is in the listing."""
        return instrument.id in self._columns

    def listed(self, instrument: Instrument) -> Listed:
        """Return an instrument's place in the listing.

        Raises:
            NothingKnown: it has none.
        """
        return self._listing[self.column(instrument)]

    def column(self, instrument: Instrument) -> int:
        """Return an instrument's column in the daily prices.

        Raises:
            NothingKnown: it has none.
        """
        if instrument.id not in self._columns:
            raise NothingKnown(instrument.id)
        return self._columns[instrument.id]

    def times_of(self, instrument: Instrument) -> SessionTimes:
        """Return when an instrument's venue trades.

        Raises:
            NothingKnown: the instrument is not in the listing.
        """
        return self._times[venue_of(self.listed(instrument).instrument)]

    def bars(self, instrument: Instrument, first: date, last: date, moment: datetime) -> DailyBars:
        """Return the bars from `first` to `last`, both with, of sessions that are finished at a moment."""
        times = self.times_of(instrument)
        asked = times.between(first, last)
        wanted = slice(asked.start, max(asked.start, min(asked.stop, times.finished(microseconds_of(moment)))))
        steps_per_unit = self.listed(instrument).steps_per_unit
        days = self.days(instrument, times.rows[wanted])
        return DailyBars(
            instrument=instrument.id,
            sessions=times.dates[wanted].copy(),
            open=days.open / steps_per_unit,
            high=days.high / steps_per_unit,
            low=days.low / steps_per_unit,
            close=days.close / steps_per_unit,
            volume=days.volume if instrument.kind in KINDS_WITH_VOLUME else None,
        )

    def days(self, instrument: Instrument, rows: Rows) -> DayBar:
        """Return one instrument's bars on several days, counted from FIRST_DAY and rising, in price steps."""
        column = self.column(instrument)
        past, since = rows[rows < 0], rows[rows >= 0]
        parts = []
        if len(past):
            parts.append(_picked(self._past(column), past + PAST_DAYS, 0))
        if len(since) or not len(past):
            parts.append(_picked(self._daily(int(since[-1]) if len(since) else 0), since, column))
        return parts[0] if len(parts) == 1 else _joined(*parts)

    def several(self, instruments: Sequence[Instrument], row: int) -> DayBar:
        """Return several instruments' bars of one day since FIRST_DAY, in price steps."""
        columns = np.array([self.column(each) for each in instruments], dtype=np.intp)
        return _picked(self._daily(row), row, columns)

    def volatilities(self, instruments: Sequence[Instrument]) -> npt.NDArray[np.float64]:
        """Return the daily volatility of several instruments."""
        columns = np.array([self.column(each) for each in instruments], dtype=np.intp)
        volatilities: npt.NDArray[np.float64] = self._daily(0).volatility[columns]
        return volatilities

    def _past(self, column: int) -> DailyPrices:
        past = self._pasts.get(column)
        if past is None:
            past = self._pasts[column] = DailyPrices.make_past([self._listing[column]], self._seed)
            while len(self._pasts) > KEPT_PASTS:
                self._pasts.popitem(last=False)
        return past


def _picked(prices: DailyPrices, rows: Rows | int, columns: Columns | int) -> DayBar:
    return DayBar(
        open=prices.open[rows, columns],
        high=prices.high[rows, columns],
        low=prices.low[rows, columns],
        close=prices.close[rows, columns],
        volume=prices.volume[rows, columns],
    )


def _joined(early: DayBar, late: DayBar) -> DayBar:
    return DayBar(
        open=np.concatenate([early.open, late.open]),
        high=np.concatenate([early.high, late.high]),
        low=np.concatenate([early.low, late.low]),
        close=np.concatenate([early.close, late.close]),
        volume=np.concatenate([early.volume, late.volume]),
    )
