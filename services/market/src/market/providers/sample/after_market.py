"""Trading in the two hours before and after a session, along the path that prices take between two sessions."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from market.domain.after_market import AfterMarketQuote, AfterMarketTrade
from market.domain.instruments import Instrument
from market.domain.sessions import Venue, venue_of
from market.domain.ticks import microseconds_of, moment_of
from market.providers.sample.history import History
from market.providers.sample.hours import SessionTimes
from market.providers.sample.noise import Hashes, Purpose, hashed, key_of, uniform
from market.providers.sample.path import Path, bridge_path
from market.providers.sample.stretches import bridge_keys
from market.providers.sample.venue import phases_of

WINDOW_MICROSECONDS = 2 * 3_600_000_000
MAX_TRADE_SIZE = 400
MAX_SPREAD_STEPS = 3
ROUND_LOT = 100
MAX_LOTS = 12
VOLUME_SHARE = 0.03  # of the session's volume


@dataclass(frozen=True, slots=True)
class _Gap:
    """Several instruments of one venue in the hours between two sessions.

    Attributes:
        row: the day of the session before, counted from FIRST_DAY.
        begins_at: when that session closed, in microseconds since 1970.
        elapsed: microseconds of extended hours so far.
        ticks: each instrument's newest tick.
        phases: how far into each interval the instruments tick.
        path: their prices.
        keys: their randomness.
    """

    row: int
    begins_at: int
    elapsed: int
    ticks: npt.NDArray[np.int64]
    phases: npt.NDArray[np.int64]
    path: Path
    keys: Hashes


class AfterMarket:
    """Answers trades, bids and offers outside sessions.

    Args:
        history: the sessions.
        seed: what all randomness starts from.
        tick_interval: microseconds between two ticks of an instrument.
    """

    def __init__(self, history: History, *, seed: int, tick_interval: int) -> None:
        self._history = history
        self._seed = seed
        self._tick_interval = tick_interval

    def trades(self, instruments: Sequence[Instrument], moment: datetime) -> dict[str, AfterMarketTrade]:
        """Return the last trades by id; one whose venue had no extended hours yet is left out."""
        by_venue: defaultdict[Venue, list[Instrument]] = defaultdict(list)
        for each in instruments:
            by_venue[venue_of(each)].append(each)
        return {
            each.id: trade for together in by_venue.values() for each, trade in self._trades_of_venue(together, moment)
        }

    def quote(self, instrument: Instrument, moment: datetime) -> AfterMarketQuote | None:
        """Return what is bid and asked around the last trade; None before the first extended hours."""
        gap = self._gap([instrument], moment)
        if gap is None:
            return None
        last = int(_newest_prices(gap)[0])
        draws = hashed(self._seed, Purpose.AFTER_MARKET, gap.keys, gap.ticks, np.arange(1, 5)).tolist()
        below, above = (1 + draw % MAX_SPREAD_STEPS for draw in draws[:2])
        bid_size, ask_size = (ROUND_LOT * (1 + draw % MAX_LOTS) for draw in draws[2:])
        steps_per_unit = self._history.listed(instrument).steps_per_unit
        usual = int(self._history.several([instrument], gap.row).volume[0])
        return AfterMarketQuote(
            at=moment_of(int(self._times(gap)[0])),
            bid_price=max(1, last - below) / steps_per_unit,
            bid_size=bid_size,
            ask_price=(last + above) / steps_per_unit,
            ask_size=ask_size,
            volume=round(usual * VOLUME_SHARE * gap.elapsed / (2 * WINDOW_MICROSECONDS)),
        )

    def _trades_of_venue(
        self, instruments: Sequence[Instrument], moment: datetime
    ) -> Iterator[tuple[Instrument, AfterMarketTrade]]:
        gap = self._gap(instruments, moment)
        if gap is None:
            return
        sizes = 1 + uniform(hashed(self._seed, Purpose.AFTER_MARKET, gap.keys, gap.ticks)) * MAX_TRADE_SIZE
        steps, times = _newest_prices(gap), self._times(gap)
        for index, each in enumerate(instruments):
            price = int(steps[index]) / self._history.listed(each).steps_per_unit
            yield each, AfterMarketTrade(price, moment_of(int(times[index])), int(sizes[index]))

    def _gap(self, instruments: Sequence[Instrument], moment: datetime) -> _Gap | None:
        """Return the newest hours with a trade of each of some instruments of one venue; None before the first."""
        times = self._history.times_of(instruments[0])
        now = microseconds_of(moment)
        # Right after a close not every instrument has ticked yet.
        position = times.finished(now - self._tick_interval) - 1
        if position < 0 or times.rows[position] < 0 or position + 1 == len(times.opens):
            return None
        row, next_row = (int(each) for each in times.rows[position : position + 2])
        begins_at, ends_at = int(times.closes[position]), int(times.opens[position + 1])
        at, elapsed = _newest_extended(times, position, now)
        keys = np.array([key_of(each.id) for each in instruments])
        phases = phases_of(self._seed, keys, self._tick_interval)
        path = bridge_path(
            self._history.several(instruments, row).close,
            self._history.several(instruments, next_row).open,
            (ends_at - begins_at) // self._tick_interval,
            volatility=self._history.volatilities(instruments),
            keys=bridge_keys(self._seed, row, keys),
        )
        ticks = np.minimum((at - begins_at - phases) // self._tick_interval, path.ticks - 1)
        return _Gap(row, begins_at, elapsed, ticks, phases, path, keys)

    def _times(self, gap: _Gap) -> npt.NDArray[np.int64]:
        times: npt.NDArray[np.int64] = gap.begins_at + gap.ticks * self._tick_interval + gap.phases
        return times


def _newest_extended(times: SessionTimes, position: int, now: int) -> tuple[int, int]:
    """Return the newest moment in extended hours after a session, and how much of them has passed until then."""
    closed, reopens = int(times.closes[position]), int(times.opens[position + 1])
    after_until = min(closed + WINDOW_MICROSECONDS, reopens)
    before_from = max(reopens - WINDOW_MICROSECONDS, after_until)
    if now < before_from:
        at = min(now, after_until - 1)
        return at, at - closed
    at = min(now, reopens - 1)
    return at, after_until - closed + at - before_from


def _newest_prices(gap: _Gap) -> npt.NDArray[np.int32]:
    """Return each instrument's price at its own newest tick."""
    distinct, places = np.unique(gap.ticks, return_inverse=True)
    prices: npt.NDArray[np.int32] = gap.path.prices(distinct)[places, np.arange(len(gap.ticks))]
    return prices
