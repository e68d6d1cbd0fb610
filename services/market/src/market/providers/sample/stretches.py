"""A venue's time, cut into stretches: its sessions and, where prices never rest, the hours between them."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from market.providers.sample.daily import DailyPrices, Steps
from market.providers.sample.hours import SessionTimes
from market.providers.sample.noise import Hashes, Purpose, hashed
from market.providers.sample.path import DayBar, Path, bridge_path, session_path

KEPT_STRETCHES = 6
FEWEST_TICKS_BETWEEN = 2

Positions = npt.NDArray[np.int64]


class StretchKey(NamedTuple):
    """Names a stretch: a session by its position, and whether the hours after it are meant."""

    position: int
    is_after: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """A session, or the hours between two, with the prices in it.

    Attributes:
        key: which one.
        begins_at: its first moment, in microseconds since 1970.
        path: the prices.
        previous_close: what a change is counted from, in price steps; None in the very first session.
    """

    key: StretchKey
    begins_at: int
    path: Path
    previous_close: Steps | None

    @property
    def is_session(self) -> bool:
        """Say whether the venue trades in it."""
        return not self.key.is_after


class Stretches:
    """The stretches of one venue from FIRST_DAY on, each made when it is first asked for.

    Args:
        times: when the venue trades.
        columns: its instruments' columns in the daily prices.
        keys: its instruments' randomness.
        daily: returns daily prices that reach a given row.
        seed: what all randomness starts from.
        tick_interval: microseconds between two ticks of an instrument.
        is_always_open: whether there are stretches between sessions.
    """

    def __init__(
        self,
        times: SessionTimes,
        *,
        columns: Positions,
        keys: Hashes,
        daily: Callable[[int], DailyPrices],
        seed: int,
        tick_interval: int,
        is_always_open: bool,
    ) -> None:
        self._columns = columns
        self._keys = keys
        self._daily = daily
        self._seed = seed
        self._tick_interval = tick_interval
        self._is_always_open = is_always_open
        since = slice(int(np.searchsorted(times.rows, 0)), None)
        self._dates, self._rows = times.dates[since], times.rows[since]
        self._opens, self._closes = times.opens[since], times.closes[since]
        self._made: OrderedDict[StretchKey, Stretch] = OrderedDict()

    def at(self, moment: int) -> Stretch | None:
        """Return the newest stretch that has begun at `moment` (microseconds since 1970); None before the first."""
        position = int(np.searchsorted(self._opens, moment, side="right")) - 1
        if position < 0:
            return None
        return self._get(StretchKey(position, moment >= self._closes[position] and self._has_hours_after(position)))

    def before(self, stretch: Stretch) -> Stretch | None:
        """Return the stretch before another; None before the first."""
        position, is_after = stretch.key
        if is_after:
            return self._get(StretchKey(position, is_after=False))
        if position == 0:
            return None
        return self._get(StretchKey(position - 1, self._has_hours_after(position - 1)))

    def next_begin(self, moment: int) -> int | None:
        """Return when ticks come again where none come at `moment`; None where they come now or never again."""
        position = int(np.searchsorted(self._opens, moment, side="right")) - 1
        is_moving = position >= 0 and (moment < self._closes[position] or self._has_hours_after(position))
        if is_moving or position + 1 == len(self._opens):
            return None
        return int(self._opens[position + 1])

    def finished_sessions(self, moment: int, count: int) -> tuple[npt.NDArray[np.datetime64], Positions]:
        """Return the dates and daily rows of the newest `count` sessions that are over at `moment`, oldest first."""
        finished = int(np.searchsorted(self._closes, moment, side="right"))
        newest = slice(max(0, finished - count), finished)
        return self._dates[newest], self._rows[newest]

    def _has_hours_after(self, position: int) -> bool:
        if not self._is_always_open or position + 1 == len(self._opens):
            return False
        hours = self._opens[position + 1] - self._closes[position]
        return bool(hours >= FEWEST_TICKS_BETWEEN * self._tick_interval)

    def _get(self, key: StretchKey) -> Stretch:
        stretch = self._made.get(key)
        if stretch is None:
            stretch = self._made[key] = self._between(key) if key.is_after else self._session(key)
            while len(self._made) > KEPT_STRETCHES:
                self._made.popitem(last=False)
        return stretch

    def _session(self, key: StretchKey) -> Stretch:
        row = int(self._rows[key.position])
        daily = self._daily(row)
        begins_at, ends_at = int(self._opens[key.position]), int(self._closes[key.position])
        bar = DayBar(
            open=daily.open[row, self._columns],
            high=daily.high[row, self._columns],
            low=daily.low[row, self._columns],
            close=daily.close[row, self._columns],
            volume=daily.volume[row, self._columns],
        )
        keys = session_keys(self._seed, row, self._keys)
        path = session_path(bar, (ends_at - begins_at) // self._tick_interval, keys)
        previous_close = daily.close[self._rows[key.position - 1], self._columns] if key.position else None
        return Stretch(key, begins_at, path, previous_close)

    def _between(self, key: StretchKey) -> Stretch:
        row, next_row = (int(each) for each in self._rows[key.position : key.position + 2])
        daily = self._daily(next_row)
        begins_at, ends_at = int(self._closes[key.position]), int(self._opens[key.position + 1])
        close = daily.close[row, self._columns]
        path = bridge_path(
            close,
            daily.open[next_row, self._columns],
            (ends_at - begins_at) // self._tick_interval,
            volatility=daily.volatility[self._columns],
            keys=bridge_keys(self._seed, row, self._keys),
        )
        return Stretch(key, begins_at, path, previous_close=close)


def session_keys(seed: int, row: int, keys: Hashes) -> Hashes:
    """Return the randomness of the session of a day, counted from FIRST_DAY, for instruments with these keys."""
    # A negative number has no place among what is hashed; its complement in 64 bits has.
    return hashed(seed, Purpose.PATH, row % 2**64, keys)


def bridge_keys(seed: int, row: int, keys: Hashes) -> Hashes:
    """Return the randomness of the hours after the session of a day since FIRST_DAY."""
    return hashed(seed, Purpose.BRIDGE, row, keys)
