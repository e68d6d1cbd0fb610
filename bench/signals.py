"""The bulk pattern scan and its statistics against bare TA-Lib calls, one an instrument and pattern, in one run.

2,000 made-up instruments of 500 daily bars on a tick of 0.05, all 61 patterns, one core. A ratio over 1 means that
ours is faster. Both sides see the same bars; the answers are compared cell by cell at the end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import talib
from numpy.typing import NDArray

from market.domain.bars import DailyBars
from market.domain.pattern_statistics import measure
from market.domain.patterns import LONGEST_LOOKBACK, PATTERNS, PRICE_UNIT, Panel, scan, scan_latest
from market.domain.signals import find_signals, strongest

INSTRUMENTS = 2_000
BARS = 500
ROUNDS = 3
TICK = 0.05

Candles = Sequence[NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Timing:
    """The best of several rounds, taken in turns so that a noisy moment hits both sides."""

    ours_seconds: float
    bare_seconds: float

    def __str__(self) -> str:
        ratio = self.bare_seconds / self.ours_seconds
        return f"{ratio:5.1f} x   ours {self.ours_seconds:6.3f} s   bare TA-Lib {self.bare_seconds:6.3f} s"


def made_up_bars(count: int, bars: int) -> list[DailyBars]:
    random = np.random.default_rng(20_240_531)
    sessions = np.busday_offset("2022-01-03", np.arange(bars), roll="forward").astype("datetime64[D]")
    return [_random_walk(f"NSE:S{number}", sessions, random) for number in range(count)]


def _random_walk(instrument: str, sessions: NDArray[np.datetime64], random: np.random.Generator) -> DailyBars:
    count = len(sessions)
    close = random.uniform(20, 3_000) * np.exp(np.cumsum(random.normal(0, 0.015, count)))
    open_ = np.concatenate([close[:1], close[:-1]]) * np.exp(random.normal(0, 0.005, count))
    high = np.maximum(open_, close) * np.exp(np.abs(random.normal(0, 0.007, count)))
    low = np.minimum(open_, close) * np.exp(-np.abs(random.normal(0, 0.007, count)))
    columns = [np.maximum(np.round(column / TICK), 1) * TICK for column in (open_, high, low, close)]
    return DailyBars(instrument, sessions.copy(), *columns)


def call_bare(candles: Sequence[Candles]) -> None:
    functions = [getattr(talib, pattern.function) for pattern in PATTERNS]
    for each in candles:
        for function in functions:
            function(*each)


def compare(ours: Callable[[], object], bare: Callable[[], object]) -> Timing:
    return Timing(*np.min([[_seconds(ours), _seconds(bare)] for _ in range(ROUNDS)], axis=0))


def _seconds(action: Callable[[], object]) -> float:
    started = perf_counter()
    action()
    return perf_counter() - started


def count_differences(panel: Panel, candles: Sequence[Candles]) -> int:
    """Compare the bulk scan with TA-Lib called for each instrument, over every bar and pattern."""
    found = scan(panel)
    ours = np.zeros((len(PATTERNS), len(panel.sessions)), dtype=np.int8)
    ours[found.patterns, found.bars] = found.directions
    different = 0
    for position, pattern in enumerate(PATTERNS):
        function = getattr(talib, pattern.function)
        bare = np.sign(np.concatenate([function(*each) for each in candles]))
        different += int(np.count_nonzero(bare != ours[position]))
    return different


def main() -> None:
    series = made_up_bars(INSTRUMENTS, BARS)
    candles: list[Candles] = [(bars.open, bars.high, bars.low, bars.close) for bars in series]
    tails = [[column[-LONGEST_LOOKBACK - 1 :] for column in each] for each in candles]
    whole_units = [[np.rint(column * round(1 / PRICE_UNIT)) for column in each] for each in candles]
    panel = Panel.join(series)
    session = panel.latest_session
    assert session is not None
    statistics = measure(panel, scan(panel)).before(session)

    def measure_all() -> object:
        joined = Panel.join(series)
        return measure(joined, scan(joined)).before(session)

    print(f"signals: {INSTRUMENTS:,} instruments x {BARS} bars x {len(PATTERNS)} patterns, best of {ROUNDS}")
    print(f"  scan of all bars                     {compare(lambda: scan(panel), lambda: call_bare(candles))}")
    print(f"  join + scan + statistics             {compare(measure_all, lambda: call_bare(candles))}")
    print(f"  scan of the latest bars              {compare(lambda: scan_latest(panel), lambda: call_bare(tails))}")
    print(
        "  latest signals, ranked               "
        f"{compare(lambda: strongest(find_signals(panel, statistics)), lambda: call_bare(tails))}"
    )
    cells = len(PATTERNS) * len(panel.sessions)
    print(f"  cells that differ from TA-Lib alone  {count_differences(panel, whole_units):,} of {cells:,}")
    print(
        "  the same, TA-Lib on unscaled prices  "
        f"{count_differences(panel, candles):,} of {cells:,} (ties, which its rounding decides there)"
    )


if __name__ == "__main__":
    main()
