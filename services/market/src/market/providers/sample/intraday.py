"""Bars of five minutes: a session's path, cut where the clock says so."""

from collections.abc import Sequence
from datetime import date, datetime
from itertools import pairwise

import numpy as np

from market.domain.history import IntradayBar
from market.domain.instruments import Instrument
from market.domain.ticks import microseconds_of, moment_of
from market.providers.sample.daily import KINDS_WITH_VOLUME
from market.providers.sample.history import History
from market.providers.sample.noise import key_of
from market.providers.sample.path import Path, Ticks, session_path
from market.providers.sample.stretches import session_keys
from market.providers.sample.venue import phases_of

BAR_MICROSECONDS = 300_000_000
MAX_SESSIONS = 66


class Intraday:
    """Cuts sessions into bars of five minutes.

    Args:
        history: whose daily bars they agree with.
        seed: what all randomness starts from.
        tick_interval: microseconds between two ticks of an instrument.
    """

    def __init__(self, history: History, *, seed: int, tick_interval: int) -> None:
        self._history = history
        self._seed = seed
        self._tick_interval = tick_interval

    def sessions(self, instrument: Instrument, first: date, last: date, moment: datetime) -> Sequence[int]:
        """Return the positions of the newest 66 sessions between two dates that have begun at a moment."""
        times = self._history.times_of(instrument)
        asked = times.between(first, last)
        return range(asked.start, min(asked.stop, times.begun(microseconds_of(moment))))[-MAX_SESSIONS:]

    def bars(self, instrument: Instrument, position: int, moment: datetime) -> Sequence[IntradayBar]:
        """Return the bars of one session up to a moment, oldest first; the newest may be of a part of its time."""
        times = self._history.times_of(instrument)
        begins_at, ends_at = int(times.opens[position]), int(times.closes[position])
        keys = np.array([key_of(instrument.id)])
        row = times.rows[position : position + 1]
        path = session_path(
            self._history.days(instrument, row),
            (ends_at - begins_at) // self._tick_interval,
            session_keys(self._seed, int(row[0]), keys),
        )
        phase = int(phases_of(self._seed, keys, self._tick_interval)[0])
        newest = (microseconds_of(moment) - begins_at - phase) // self._tick_interval
        ticks = np.arange(min(newest + 1, path.ticks))
        numbers = (ticks * self._tick_interval + phase) // BAR_MICROSECONDS
        return self._cut(instrument, path, ticks, begins_at + numbers * BAR_MICROSECONDS)

    def _cut(self, instrument: Instrument, path: Path, ticks: Ticks, begins: Ticks) -> Sequence[IntradayBar]:
        """Return a bar for each distinct beginning among those of the ticks, which rise."""
        if not len(ticks):
            return []
        starts = np.flatnonzero(np.diff(begins, prepend=begins[0] - 1))
        ends = np.append(starts[1:], len(ticks)) - 1
        steps = path.prices(ticks)[:, 0]
        steps_per_unit = self._history.listed(instrument).steps_per_unit
        columns = (
            steps[starts],
            np.maximum.reduceat(steps, starts),
            np.minimum.reduceat(steps, starts),
            steps[ends],
        )
        prices = zip(*((column / steps_per_unit).tolist() for column in columns), strict=True)
        volumes = _volumes(path, ends) if instrument.kind in KINDS_WITH_VOLUME else [None] * len(ends)
        return [
            IntradayBar(moment_of(begin), open_, high, low, close, volume)
            for begin, (open_, high, low, close), volume in zip(begins[starts].tolist(), prices, volumes, strict=True)
        ]


def _volumes(path: Path, ends: Ticks) -> Sequence[int | None]:
    """Return what is traded from each end before, without it, to the next."""
    traded = [path.traded(end) for end in ends.tolist()]
    so_far = [0, *(int(each[0]) for each in traded if each is not None)]
    return [after - before for before, after in pairwise(so_far)]
