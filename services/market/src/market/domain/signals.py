"""Signals: the candlestick patterns that a session completed, each with its measured record, best first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from market.domain.pattern_statistics import Interval, PatternKey, PatternStatistics, TrackRecord
from market.domain.patterns import PATTERNS, Direction, Panel, scan_latest

MAX_SIGNALS = 20


@dataclass(frozen=True, slots=True)
class Signal:
    """A pattern found on daily bars, and how often it was right before.

    Attributes:
        instrument: its id, `EXCHANGE:SYMBOL`.
        pattern: the plain trade name, as in `PATTERNS`.
        direction: which way it points.
        session: the session whose bar completed it.
        record: what was known of pattern and direction before that session.
    """

    instrument: str
    pattern: str
    direction: Direction
    session: date
    record: TrackRecord

    @property
    def confidence(self) -> float | None:
        """Return the measured hit rate, 0 to 1; None when there are too few cases."""
        return self.record.hit_rate

    @property
    def interval(self) -> Interval | None:
        """Return the 95 % interval of the confidence; None together with it."""
        return self.record.interval

    @property
    def base_rate(self) -> float | None:
        """Return how often the direction came true for any bar, 0 to 1; None when nothing is known."""
        return self.record.base_rate

    @property
    def edge(self) -> float | None:
        """Return by how much the lower end of the interval exceeds the base rate; None when either is missing."""
        if self.interval is None or self.base_rate is None:
            return None
        return self.interval.low - self.base_rate


def find_signals(panel: Panel, statistics: PatternStatistics) -> Sequence[Signal]:
    """Find what the session of `statistics` completed, on instruments whose last bar is of that session.

    Args:
        panel: finished bars of the instruments to look at; at least `LONGEST_LOOKBACK` + 1 of each.
        statistics: what was known before that session.

    Returns:
        All signals, in no order of worth.
    """
    found = scan_latest(panel)
    is_current = panel.sessions[found.bars] == np.datetime64(statistics.session)
    instruments = panel.instruments_at(found.bars[is_current])
    signals = []
    for instrument, position, sign in zip(
        instruments, found.patterns[is_current], found.directions[is_current], strict=True
    ):
        key = PatternKey(PATTERNS[position].name, Direction(sign))
        signals.append(Signal(instrument, key.pattern, key.direction, statistics.session, statistics.records[key]))
    return signals


def strongest(signals: Iterable[Signal], limit: int = MAX_SIGNALS) -> Sequence[Signal]:
    """Keep the best signal of each instrument, and of these the best `limit`, best first.

    The better signal is the one with the greater edge: what its hit rate can be relied on to be, over what every bar
    offers. Signals without a measured confidence come after all others; more cases, then names, settle ties.
    """
    best: dict[str, Signal] = {}
    for signal in sorted(signals, key=_rank):
        best.setdefault(signal.instrument, signal)
    return tuple(best.values())[:limit]


def _rank(signal: Signal) -> tuple[bool, float, int, str, str, int]:
    edge = signal.edge
    return (edge is None, -(edge or 0.0), -signal.record.cases, signal.instrument, signal.pattern, signal.direction)
