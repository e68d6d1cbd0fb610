from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from talib import abstract

from market.domain.bars import DailyBars
from market.domain.patterns import (
    HIGHEST_PRICE,
    LONGEST_LOOKBACK,
    PATTERNS,
    PRICE_UNIT,
    Direction,
    Findings,
    Panel,
    Pattern,
    scan,
    scan_latest,
)

MakeBars = Callable[..., DailyBars]

MICRO_UNITS = 1_000_000
# Coarse ticks make exact ties with averages common, and that is where rounding would show.
MARKETS = [(1000.0, 0.05), (20.0, 0.05), (3.0, 0.05), (100.0, 0.01), (1.08, 0.0001), (5.0, 0.5), (80_000.0, 0.05)]
LENGTHS = [0, 1, 5, 6, 14, 15, 16, 40, 250, 300]


@pytest.fixture(scope="module")
def many_bars(make_bars: MakeBars) -> list[DailyBars]:
    return [
        make_bars(f"NSE:S{seed}", seed=seed, count=LENGTHS[seed % len(LENGTHS)], price=price, tick=tick)
        for seed, (price, tick) in enumerate(MARKETS * 20)
    ]


def called_alone(bars: DailyBars, units: int) -> NDArray[np.int64]:
    """TA-Lib's answers for one instrument, shape (patterns, bars)."""
    candles = [
        np.rint(column * units) if units > 1 else column for column in (bars.open, bars.high, bars.low, bars.close)
    ]
    if not len(bars):
        return np.zeros((len(PATTERNS), 0), dtype=np.int64)
    return np.array([np.sign(getattr(talib, pattern.function)(*candles)) for pattern in PATTERNS])


def called_for_each(series: Sequence[DailyBars], units: int = MICRO_UNITS) -> NDArray[np.int64]:
    return np.concatenate([called_alone(bars, units) for bars in series], axis=1)


def as_cells(findings: Findings, panel: Panel) -> NDArray[np.int64]:
    cells = np.zeros((len(PATTERNS), len(panel.sessions)), dtype=np.int64)
    cells[findings.patterns, findings.bars] = findings.directions
    return cells


def first_bars(bars: DailyBars, count: int) -> DailyBars:
    return DailyBars(
        bars.instrument,
        bars.sessions[:count],
        open=bars.open[:count],
        high=bars.high[:count],
        low=bars.low[:count],
        close=bars.close[:count],
    )


def hand_made(*candles: tuple[float, float, float, float]) -> DailyBars:
    """Fourteen bars that fall by one each, and then the candles given."""
    falling = [(121.0 - i, 121.5 - i, 119.5 - i, 120.0 - i) for i in range(14)]
    columns = np.array([*falling, *candles]).T.copy()
    sessions = np.datetime64("2024-01-01") + np.arange(len(columns[0]))
    return DailyBars("NSE:TCS", sessions, *columns)


def names_found_last(bars: DailyBars) -> dict[str, Direction]:
    found = scan_latest(Panel.join([bars]))
    return {
        PATTERNS[position].name: Direction(sign)
        for position, sign in zip(found.patterns, found.directions, strict=True)
    }


def test_every_candlestick_pattern_of_ta_lib_is_scanned_once() -> None:
    functions = [pattern.function for pattern in PATTERNS]
    assert sorted(functions) == sorted(name for name in dir(talib) if name.startswith("CDL"))
    assert len({pattern.name for pattern in PATTERNS}) == len(PATTERNS) == 61


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_the_lookback_is_the_one_ta_lib_states(pattern: Pattern) -> None:
    assert pattern.lookback == abstract.Function(pattern.function).lookback  # type: ignore[attr-defined]  # its stub lacks it


def test_the_bulk_scan_equals_ta_lib_called_for_each_instrument(many_bars: list[DailyBars]) -> None:
    panel = Panel.join(many_bars)
    expected = called_for_each(many_bars)
    assert np.array_equal(as_cells(scan(panel), panel), expected)
    assert np.count_nonzero(expected) > 10_000
    assert np.count_nonzero(expected.any(axis=1)) > 50


def test_it_equals_ta_lib_on_unscaled_prices_where_their_sums_are_exact(make_bars: MakeBars) -> None:
    series = [make_bars(f"NSE:S{seed}", seed=seed, count=200, tick=0.25) for seed in range(30)]
    panel = Panel.join(series)
    assert np.array_equal(as_cells(scan(panel), panel), called_for_each(series, units=1))


def test_a_tie_is_judged_alike_whatever_came_before(make_bars: MakeBars) -> None:
    series = [make_bars(f"NSE:S{seed}", seed=seed, count=300, price=3.0) for seed in range(40)]
    shortened = [bars.tail(100) for bars in series]
    long, short = Panel.join(series), Panel.join(shortened)
    settled = 100 - LONGEST_LOOKBACK
    from_long = as_cells(scan(long), long).reshape(61, 40, 300)[:, :, -settled:]
    from_short = as_cells(scan(short), short).reshape(61, 40, 100)[:, :, -settled:]
    assert np.array_equal(from_long, from_short)


def test_the_scan_of_the_latest_bars_equals_the_scan_of_all(many_bars: list[DailyBars]) -> None:
    panel = Panel.join(many_bars)
    everything, latest = scan(panel), scan_latest(panel)
    is_latest = np.isin(everything.bars, panel.latest_bars())
    assert len(latest) > 100
    assert np.array_equal(latest.bars, everything.bars[is_latest])
    assert np.array_equal(latest.patterns, everything.patterns[is_latest])
    assert np.array_equal(latest.directions, everything.directions[is_latest])


@given(seed=st.integers(0, 10_000), cut=st.integers(0, 120), price=st.sampled_from([3.0, 20.0, 1000.0]))
def test_bars_after_a_session_change_nothing_found_up_to_it(
    make_bars: MakeBars, seed: int, cut: int, price: float
) -> None:
    bars = make_bars("NSE:A", seed=seed, count=120, price=price)
    neighbour = make_bars("NSE:B", seed=seed + 1, count=40)
    whole, past = Panel.join([bars, neighbour]), Panel.join([first_bars(bars, cut), neighbour])
    assert np.array_equal(as_cells(scan(whole), whole)[:, :cut], as_cells(scan(past), past)[:, :cut])


def test_a_white_candle_around_a_black_one_is_a_bullish_engulfing() -> None:
    bars = hand_made((107.0, 107.5, 105.5, 106.0), (105.5, 108.5, 105.0, 108.0))
    assert names_found_last(bars)["engulfing"] is Direction.BULLISH


def test_a_black_candle_around_a_white_one_is_a_bearish_engulfing() -> None:
    bars = hand_made((106.0, 107.5, 105.5, 107.0), (107.5, 108.0, 105.0, 105.5))
    assert names_found_last(bars)["engulfing"] is Direction.BEARISH


def test_a_star_below_a_long_black_and_a_white_candle_is_a_morning_star() -> None:
    bars = hand_made((107.0, 107.5, 102.5, 103.0), (101.0, 101.5, 100.5, 101.2), (102.0, 106.0, 101.5, 105.5))
    assert names_found_last(bars)["morning_star"] is Direction.BULLISH


def test_the_longest_lookback_is_enough_and_one_bar_less_is_not() -> None:
    rising_three = hand_made(
        (105.0, 112.0, 104.5, 111.5),
        (110.5, 111.0, 109.5, 110.1),
        (109.5, 110.0, 108.8, 109.1),
        (108.5, 109.0, 107.8, 108.2),
        (109.0, 114.0, 108.5, 113.5),
    )
    assert names_found_last(rising_three)["rising_falling_three_methods"] is Direction.BULLISH
    assert "rising_falling_three_methods" in names_found_last(rising_three.tail(LONGEST_LOOKBACK + 1))
    assert "rising_falling_three_methods" not in names_found_last(rising_three.tail(LONGEST_LOOKBACK))


def test_a_bar_without_its_lookback_completes_nothing() -> None:
    bars = hand_made((107.0, 107.5, 105.5, 106.0), (105.5, 108.5, 105.0, 108.0))
    assert names_found_last(bars.tail(2)) == {}


@pytest.mark.parametrize("price", [float("nan"), float("inf"), 0.0, -1.0, HIGHEST_PRICE * 1.001])
@pytest.mark.parametrize("column", ["open", "high", "low", "close"])
def test_a_series_with_an_unusable_price_is_refused_and_costs_the_others_nothing(
    make_bars: MakeBars, column: str, price: float
) -> None:
    good = [make_bars(f"NSE:S{seed}", seed=seed, count=60) for seed in range(3)]
    prices = getattr(good[1], column).copy()
    prices[30] = price
    panel = Panel.join([good[0], replace(good[1], **{column: prices}), good[2]])
    without = Panel.join([good[0], good[2]])
    assert panel.refused == ("NSE:S1",)
    assert panel.instruments == ("NSE:S0", "NSE:S2")
    assert np.array_equal(as_cells(scan(panel), panel), as_cells(scan(without), without))


def test_the_highest_price_still_adds_up_exactly() -> None:
    assert 11 * HIGHEST_PRICE / PRICE_UNIT < 2**53


def test_nothing_is_found_without_bars() -> None:
    panel = Panel.join([])
    assert len(scan(panel)) == len(scan_latest(panel)) == 0
    assert panel.latest_session is None


def test_the_latest_session_is_that_of_any_instrument(make_bars: MakeBars) -> None:
    bars = make_bars("NSE:A", seed=1, count=40)
    panel = Panel.join([bars.tail(20), bars.until(bars.sessions[10].astype(date))])
    assert panel.latest_session == bars.last_session
