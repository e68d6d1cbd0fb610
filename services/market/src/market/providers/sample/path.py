"""How prices run through a stretch of time: a session, or the hours between two.

A stretch is cut into ticks at equal distances. At most 400 of its ticks are pivots, drawn all at once; between two
pivots every price lies between theirs. So a tick's price costs a few operations, the highest price so far is known
without looking at every tick, and the whole session's open, high, low and close are the daily bar's to the last step.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from market.providers.sample.daily import Steps, Units
from market.providers.sample.noise import Floats, Hashes, Purpose, hashed, uniform

MAX_CELLS = 400
OCTAVES = (128, 32, 8, 2)  # cell sizes of the noise, in pivots
ROUGHNESS = 0.30  # of the day's range
RESTLESSNESS = 0.25  # of the day's volatility, outside sessions
JITTER = 0.6  # of the distance between two pivots
VOLUME_SWING = 0.6  # how much more is traded near open and close

Ticks = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DayBar:
    """One day's bars of several instruments, in price steps, each of shape [instruments]."""

    open: Steps
    high: Steps
    low: Steps
    close: Steps
    volume: Units


@dataclass(frozen=True, slots=True)
class Path:
    """The prices of several instruments through one stretch, in price steps.

    Attributes:
        ticks: how many ticks the stretch has, at least 2.
        pivot_ticks: the ticks that are pivots, rising, the first and the last tick among them; shape [pivots].
        pivots: prices at the pivots; shape [pivots, instruments].
        highest: the highest pivot so far; shape [pivots, instruments].
        lowest: the lowest pivot so far; shape [pivots, instruments].
        volume: units traded in the whole stretch; None where nothing is traded; shape [instruments].
        keys: the randomness of each instrument; shape [instruments].
    """

    ticks: int
    pivot_ticks: Ticks
    pivots: Steps
    highest: Steps
    lowest: Steps
    volume: Units | None
    keys: Hashes

    def prices(self, ticks: Ticks, columns: npt.NDArray[np.intp] | slice = slice(None)) -> Steps:
        """Return the prices at some ticks, shape [ticks, columns]."""
        cell = self._cells(ticks)
        before, after = self.pivots[cell][:, columns].astype(float), self.pivots[cell + 1][:, columns].astype(float)
        first, last = self.pivot_ticks[cell], self.pivot_ticks[cell + 1]
        share = ((ticks - first) / (last - first))[:, None]
        draws = uniform(hashed(self.keys[columns][None, :], ticks[:, None])) - 0.5
        # The jitter vanishes at the pivots, which must be met exactly.
        wobble = JITTER * 4.0 * share * (1.0 - share) * draws * np.abs(after - before)
        raw = np.rint(before + (after - before) * share + wobble)
        prices: Steps = np.clip(raw, np.minimum(before, after), np.maximum(before, after)).astype(np.int32)
        return prices

    def price_range(self, tick: int, columns: npt.NDArray[np.intp]) -> tuple[Steps, Steps]:
        """Return the lowest and the highest price from the first tick to `tick`, each of shape [columns]."""
        cell = int(self._cells(np.array([tick]))[0])
        since_pivot = self.prices(np.arange(self.pivot_ticks[cell], tick + 1), columns)
        low = np.minimum(self.lowest[cell][columns], since_pivot.min(axis=0))
        high = np.maximum(self.highest[cell][columns], since_pivot.max(axis=0))
        return low, high

    def traded(self, tick: int) -> Units | None:
        """Return the units traded from the first tick to `tick`, shape [instruments]; None where nothing is traded."""
        if self.volume is None:
            return None
        share = (tick + 1) / self.ticks
        curve = share + VOLUME_SWING * np.sin(2.0 * np.pi * share) / (2.0 * np.pi)
        traded: Units = np.rint(self.volume * min(curve, 1.0)).astype(np.int64)
        return traded

    def _cells(self, ticks: Ticks) -> npt.NDArray[np.intp]:
        positions = np.searchsorted(self.pivot_ticks, ticks, side="right") - 1
        return np.minimum(positions, len(self.pivot_ticks) - 2)


def session_path(bar: DayBar, ticks: int, keys: Hashes) -> Path:
    """Return a path whose open, high, low and close are the bar's.

    Args:
        bar: what the path must agree with.
        ticks: how many ticks the session has, at least 4.
        keys: the randomness of this session, one for each instrument.
    """
    pivot_ticks = _pivot_ticks(ticks)
    high_at, low_at = _places(len(pivot_ticks), keys)
    positions = np.arange(len(pivot_ticks))[:, None]
    is_high_first = high_at < low_at
    early, late = np.minimum(high_at, low_at), np.maximum(high_at, low_at)
    early_price, late_price = np.where(is_high_first, bar.high, bar.low), np.where(is_high_first, bar.low, bar.high)
    is_first, is_last = positions <= early, positions > late
    start = np.where(is_first, 0, np.where(is_last, late, early))
    end = np.where(is_first, early, np.where(is_last, len(pivot_ticks) - 1, late))
    start_price = np.where(is_first, bar.open, np.where(is_last, late_price, early_price))
    end_price = np.where(is_first, early_price, np.where(is_last, bar.close, late_price))
    share = (positions - start) / (end - start)
    line = start_price + (end_price - start_price) * share
    noise = _noise(len(pivot_ticks), keys) * ROUGHNESS * (bar.high - bar.low)
    pivots = np.clip(np.rint(line + noise * _taper(share)), bar.low, bar.high).astype(np.int32)
    return _path(ticks, pivots, volume=bar.volume, keys=keys)


def bridge_path(first: Steps, last: Steps, ticks: int, *, volatility: Floats, keys: Hashes) -> Path:
    """Return a path from one price to another, through hours without trade.

    Args:
        first: prices at the first tick, shape [instruments].
        last: prices at the last tick, shape [instruments].
        ticks: how many ticks there are, at least 2.
        volatility: the instruments' daily volatility, which says how restless the path is.
        keys: the randomness of this stretch, one for each instrument.
    """
    pivot_ticks = _pivot_ticks(ticks)
    share = (np.arange(len(pivot_ticks)) / (len(pivot_ticks) - 1))[:, None]
    line = first + (last.astype(float) - first) * share
    noise = _noise(len(pivot_ticks), keys) * RESTLESSNESS * volatility * first
    pivots = np.maximum(np.rint(line + noise * _taper(share)), 1.0).astype(np.int32)
    return _path(ticks, pivots, volume=None, keys=keys)


def _path(ticks: int, pivots: Steps, *, volume: Units | None, keys: Hashes) -> Path:
    return Path(
        ticks=ticks,
        pivot_ticks=_pivot_ticks(ticks),
        pivots=pivots,
        highest=np.maximum.accumulate(pivots, axis=0),
        lowest=np.minimum.accumulate(pivots, axis=0),
        volume=volume,
        keys=hashed(keys, Purpose.JITTER),
    )


def _pivot_ticks(ticks: int) -> Ticks:
    distance = max(1, -(-(ticks - 1) // MAX_CELLS))
    cells = -(-(ticks - 1) // distance)
    return np.minimum(np.arange(cells + 1) * distance, ticks - 1)


def _places(pivots: int, keys: Hashes) -> tuple[Ticks, Ticks]:
    """Return the pivots of the highest and the lowest price: never the first, the last or the same."""
    inner = pivots - 2
    high_at = 1 + (uniform(hashed(keys, Purpose.HIGH_PLACE)) * inner).astype(np.int64)
    beside = (uniform(hashed(keys, Purpose.LOW_PLACE)) * (inner - 1)).astype(np.int64)
    low_at = 1 + (high_at + beside) % inner
    return high_at, low_at


def _taper(share: Floats) -> Floats:
    return 2.0 * np.sqrt(share * (1.0 - share))


def _noise(pivots: int, keys: Hashes) -> Floats:
    """Return noise between about -1 and 1 that is rough at every scale, shape [pivots, instruments]."""
    positions = np.arange(pivots)
    total = np.zeros((pivots, len(keys)))
    for size in OCTAVES:
        cell, share = positions // size, ((positions % size) / size)[:, None]
        drawn = 2.0 * uniform(hashed(keys, Purpose.PATH, size, np.arange(cell[-1] + 2)[:, None])) - 1.0
        total += np.sqrt(size) * (drawn[cell] * (1.0 - share) + drawn[cell + 1] * share)
    noise: Floats = total / np.sqrt(sum(OCTAVES))
    return noise
