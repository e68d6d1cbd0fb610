"""Candlestick patterns on daily bars, found in bulk: all instruments in one array, one TA-Lib call a pattern.

It says where a pattern completed and which way it points; what that is worth is measured in `pattern_statistics`.

TA-Lib compares candles with averages that it keeps as running sums. On prices such as 123.45 those sums carry the
rounding errors of every bar before, and on real tick sizes exact ties are common, so that the side a tie falls on would
depend on how much history was passed. Prices are therefore scanned as whole numbers of `PRICE_UNIT`, whose sums are
exact. A finding then depends on the pattern's lookback alone, and three things hold to the last cell: the bulk scan
equals TA-Lib called for each instrument alone, the scan of the latest bars equals that of all bars, and later bars
change nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from typing import Final, Self, TypeVar

import numpy as np
import talib
from numpy.typing import NDArray

from market.domain.bars import DailyBars

PRICE_UNIT = 1e-6
"""The grid that prices are scanned on, finer than any exchange's tick size."""

HIGHEST_PRICE = 8e8
"""The most a price may be: eleven candles of it, in units of `PRICE_UNIT`, still add up exactly in float64."""

DAY: Final = np.dtype("datetime64[D]")

Scalar = TypeVar("Scalar", bound=np.generic)
Prices = NDArray[np.float64]
Days = NDArray[np.datetime64]
Positions = NDArray[np.int64]


class Direction(IntEnum):
    """Which way a pattern is held to point; the sign of TA-Lib's answer."""

    BULLISH = 1
    BEARISH = -1


@dataclass(frozen=True, slots=True)
class Pattern:
    """One candlestick pattern.

    Attributes:
        name: the plain trade name.
        function: TA-Lib's name for it.
        lookback: how many bars before its last one TA-Lib needs to judge it.
    """

    name: str
    function: str
    lookback: int


PATTERNS = (
    Pattern("two_crows", "CDL2CROWS", 12),
    Pattern("three_black_crows", "CDL3BLACKCROWS", 13),
    Pattern("three_inside", "CDL3INSIDE", 12),
    Pattern("three_line_strike", "CDL3LINESTRIKE", 8),
    Pattern("three_outside", "CDL3OUTSIDE", 3),
    Pattern("three_stars_in_the_south", "CDL3STARSINSOUTH", 12),
    Pattern("three_white_soldiers", "CDL3WHITESOLDIERS", 12),
    Pattern("abandoned_baby", "CDLABANDONEDBABY", 12),
    Pattern("advance_block", "CDLADVANCEBLOCK", 12),
    Pattern("belt_hold", "CDLBELTHOLD", 10),
    Pattern("breakaway", "CDLBREAKAWAY", 14),
    Pattern("closing_marubozu", "CDLCLOSINGMARUBOZU", 10),
    Pattern("concealing_baby_swallow", "CDLCONCEALBABYSWALL", 13),
    Pattern("counterattack", "CDLCOUNTERATTACK", 11),
    Pattern("dark_cloud_cover", "CDLDARKCLOUDCOVER", 11),
    Pattern("doji", "CDLDOJI", 10),
    Pattern("doji_star", "CDLDOJISTAR", 11),
    Pattern("dragonfly_doji", "CDLDRAGONFLYDOJI", 10),
    Pattern("engulfing", "CDLENGULFING", 2),
    Pattern("evening_doji_star", "CDLEVENINGDOJISTAR", 12),
    Pattern("evening_star", "CDLEVENINGSTAR", 12),
    Pattern("side_by_side_white_lines", "CDLGAPSIDESIDEWHITE", 7),
    Pattern("gravestone_doji", "CDLGRAVESTONEDOJI", 10),
    Pattern("hammer", "CDLHAMMER", 11),
    Pattern("hanging_man", "CDLHANGINGMAN", 11),
    Pattern("harami", "CDLHARAMI", 11),
    Pattern("harami_cross", "CDLHARAMICROSS", 11),
    Pattern("high_wave", "CDLHIGHWAVE", 10),
    Pattern("hikkake", "CDLHIKKAKE", 5),
    Pattern("modified_hikkake", "CDLHIKKAKEMOD", 10),
    Pattern("homing_pigeon", "CDLHOMINGPIGEON", 11),
    Pattern("identical_three_crows", "CDLIDENTICAL3CROWS", 12),
    Pattern("in_neck", "CDLINNECK", 11),
    Pattern("inverted_hammer", "CDLINVERTEDHAMMER", 11),
    Pattern("kicking", "CDLKICKING", 11),
    Pattern("kicking_by_length", "CDLKICKINGBYLENGTH", 11),
    Pattern("ladder_bottom", "CDLLADDERBOTTOM", 14),
    Pattern("long_legged_doji", "CDLLONGLEGGEDDOJI", 10),
    Pattern("long_line", "CDLLONGLINE", 10),
    Pattern("marubozu", "CDLMARUBOZU", 10),
    Pattern("matching_low", "CDLMATCHINGLOW", 6),
    Pattern("mat_hold", "CDLMATHOLD", 14),
    Pattern("morning_doji_star", "CDLMORNINGDOJISTAR", 12),
    Pattern("morning_star", "CDLMORNINGSTAR", 12),
    Pattern("on_neck", "CDLONNECK", 11),
    Pattern("piercing", "CDLPIERCING", 11),
    Pattern("rickshaw_man", "CDLRICKSHAWMAN", 10),
    Pattern("rising_falling_three_methods", "CDLRISEFALL3METHODS", 14),
    Pattern("separating_lines", "CDLSEPARATINGLINES", 11),
    Pattern("shooting_star", "CDLSHOOTINGSTAR", 11),
    Pattern("short_line", "CDLSHORTLINE", 10),
    Pattern("spinning_top", "CDLSPINNINGTOP", 10),
    Pattern("stalled_pattern", "CDLSTALLEDPATTERN", 12),
    Pattern("stick_sandwich", "CDLSTICKSANDWICH", 7),
    Pattern("takuri", "CDLTAKURI", 10),
    Pattern("tasuki_gap", "CDLTASUKIGAP", 7),
    Pattern("thrusting", "CDLTHRUSTING", 11),
    Pattern("tristar", "CDLTRISTAR", 12),
    Pattern("unique_three_river", "CDLUNIQUE3RIVER", 12),
    Pattern("upside_gap_two_crows", "CDLUPSIDEGAP2CROWS", 12),
    Pattern("gap_three_methods", "CDLXSIDEGAP3METHODS", 2),
)
"""All candlestick patterns of TA-Lib 0.8. Other modules count patterns by their position here."""

LONGEST_LOOKBACK = max(pattern.lookback for pattern in PATTERNS)


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Daily bars of many instruments, one instrument after the other in shared columns.

    Attributes:
        instruments: the instruments in the order of the columns, as `EXCHANGE:SYMBOL`.
        starts: shape (instruments + 1,); instrument i has the bars from starts[i] up to, not including, starts[i + 1].
        sessions: shape (bars,), the dates of the sessions, rising within an instrument.
        open: shape (bars,).
        high: shape (bars,).
        low: shape (bars,).
        close: shape (bars,).
        refused: instruments left out, because a price was not finite, not above 0 or over `HIGHEST_PRICE`.
    """

    instruments: tuple[str, ...]
    starts: Positions
    sessions: Days
    open: Prices
    high: Prices
    low: Prices
    close: Prices
    refused: tuple[str, ...] = ()

    @classmethod
    def join(cls, series: Sequence[DailyBars]) -> Self:
        """Join the bars of many instruments; one with a price that cannot be scanned is `refused`, the others stay."""
        refused = tuple(bars.instrument for bars in series if not _is_scannable(bars))
        good = [bars for bars in series if bars.instrument not in refused]
        return cls(
            instruments=tuple(bars.instrument for bars in good),
            starts=_starts(np.array([len(bars) for bars in good], dtype=np.int64)),
            sessions=_joined([bars.sessions for bars in good], DAY),
            open=_joined([bars.open for bars in good], np.float64),
            high=_joined([bars.high for bars in good], np.float64),
            low=_joined([bars.low for bars in good], np.float64),
            close=_joined([bars.close for bars in good], np.float64),
            refused=refused,
        )

    @property
    def lengths(self) -> Positions:
        """Return how many bars each instrument has, shape (instruments,)."""
        return np.diff(self.starts)

    @property
    def owners(self) -> Positions:
        """Return the position of each bar's instrument, shape (bars,)."""
        return np.repeat(np.arange(len(self.instruments)), self.lengths)

    @property
    def ages(self) -> Positions:
        """Return how many bars its instrument has before each bar, shape (bars,)."""
        return np.arange(len(self.sessions)) - np.repeat(self.starts[:-1], self.lengths)

    @property
    def latest_session(self) -> date | None:
        """Return the latest session of any instrument; None without bars."""
        if not len(self.sessions):
            return None
        latest: date = self.sessions.max().item()
        return latest

    def instruments_at(self, bars: Positions) -> list[str]:
        """Return the instrument of each of these bars."""
        # Of instruments without bars, which start where the next one does, the last start is the right one.
        return [self.instruments[owner] for owner in np.searchsorted(self.starts, bars, side="right") - 1]

    def latest_bars(self) -> Positions:
        """Return where the last bar of each instrument that has bars stands."""
        return self.starts[1:][self.lengths > 0] - 1

    def tail(self, bars: int) -> tuple[Self, Positions]:
        """Keep the last `bars` bars of each instrument, and say where each bar kept stood before."""
        lengths = np.minimum(self.lengths, bars)
        starts = _starts(lengths)
        kept = np.arange(starts[-1]) + np.repeat(self.starts[1:] - starts[1:], lengths)
        shorter = type(self)(
            instruments=self.instruments,
            starts=starts,
            sessions=self.sessions[kept],
            open=self.open[kept],
            high=self.high[kept],
            low=self.low[kept],
            close=self.close[kept],
            refused=self.refused,
        )
        return shorter, kept


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """Where patterns completed, as columns of one length in the order of pattern, then bar.

    Attributes:
        patterns: positions in `PATTERNS`.
        directions: 1 where it points up, -1 where it points down.
        bars: positions in the panel of the bars that completed them.
    """

    patterns: NDArray[np.int64]
    directions: NDArray[np.int64]
    bars: Positions

    def __len__(self) -> int:
        """Return how many patterns were found."""
        return len(self.bars)


def scan(panel: Panel) -> Findings:
    """Find all patterns on all bars: about a second of processor time for a million bars, the GIL released.

    It equals TA-Lib called for each instrument alone on its prices in units of `PRICE_UNIT`. In the joined columns a
    pattern may reach over into the instrument before; it can do so within its lookback only, where TA-Lib alone would
    be silent too, so these findings are dropped.
    """
    candles = _candles(panel)
    ages = panel.ages
    found = [_find(pattern, candles, ages) for pattern in PATTERNS] if len(ages) else []
    return Findings(
        patterns=np.repeat(np.arange(len(found)), [len(bars) for bars, _ in found]),
        directions=_joined([directions for _, directions in found], np.int64),
        bars=_joined([bars for bars, _ in found], np.int64),
    )


def scan_latest(panel: Panel) -> Findings:
    """Find the patterns that each instrument's last bar completed; equals `scan` at these bars, at a fraction of it."""
    tail, kept = panel.tail(LONGEST_LOOKBACK + 1)
    found = scan(tail)
    is_latest = np.isin(found.bars, tail.latest_bars())
    return Findings(
        patterns=found.patterns[is_latest],
        directions=found.directions[is_latest],
        bars=kept[found.bars[is_latest]],
    )


def _starts(lengths: Positions) -> Positions:
    return np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(lengths)))


def _is_scannable(bars: DailyBars) -> bool:
    # NaN is on neither side of a comparison, so what is asked is whether the prices are good.
    return all(
        bool(np.all((column > 0) & (column <= HIGHEST_PRICE)))
        for column in (bars.open, bars.high, bars.low, bars.close)
    )


def _candles(panel: Panel) -> list[Prices]:
    """Return open, high, low and close in whole numbers of `PRICE_UNIT`."""
    units_per_price = round(1 / PRICE_UNIT)
    return [np.rint(column * units_per_price) for column in (panel.open, panel.high, panel.low, panel.close)]


def _find(pattern: Pattern, candles: list[Prices], ages: Positions) -> tuple[Positions, NDArray[np.int64]]:
    """Return the bars that completed one pattern, and the directions."""
    strengths: NDArray[np.int32] = getattr(talib, pattern.function)(*candles)
    bars = np.flatnonzero(strengths != 0)
    bars = bars[ages[bars] >= pattern.lookback]
    return bars, np.sign(strengths[bars]).astype(np.int64)


def _joined(columns: Sequence[NDArray[Scalar]], kind: type[Scalar] | np.dtype[Scalar]) -> NDArray[Scalar]:
    return np.concatenate([np.empty(0, dtype=kind), *columns], dtype=kind)
