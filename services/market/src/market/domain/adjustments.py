"""Prices of the past in units of today, and back.

A split of `old_units` into `new_units` on an ex-date divides every price before that date by new / old and multiplies
every volume by it. A dividend D on an ex-date multiplies every price before that date by 1 - D / C, where C is the last
close before it in the same units: the multiplier that CRSP and Yahoo's adjusted close use. It leaves volumes alone.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date
from enum import StrEnum
from math import prod

import numpy as np
import numpy.typing as npt

from market.domain.bars import DailyBars
from market.domain.companies import Dividend
from market.domain.history import DailyHistory
from market.domain.raw_history import RawHistory
from market.domain.splits import Split

SIGNIFICANT_DIGITS = 12
_POWERS_OF_TEN = np.array([float(f"1e{exponent}") for exponent in range(23)])  # all that are exact

Days = npt.NDArray[np.datetime64]
Floats = npt.NDArray[np.float64]


class Adjustment(StrEnum):
    """Which events past prices are adjusted for."""

    RAW = "RAW"
    SPLIT = "SPLIT"
    ALL = "ALL"


def unadjusted(history: DailyHistory) -> RawHistory:
    """Return what was paid, given what a source adjusted for the splits it lists and for nothing else.

    Bars with a price that is no number above 0 are left out. Several events of one date become one.
    """
    bars = _sound(history.bars)
    splits = _merged_splits(history.splits)
    return RawHistory(
        bars=_rescaled(bars, split_factors(bars.sessions, splits)),
        splits=splits,
        dividends=_raw_dividends(history.dividends, splits),
    )


def adjusted(raw: RawHistory, adjustment: Adjustment) -> DailyBars:
    """Return the bars of a history in the units of its end, prices to 12 significant digits.

    Args:
        raw: all its splits count, also those after its last bar; a dividend counts only where a bar is before it.
        adjustment: RAW for prices as they were paid; SPLIT for splits alone; ALL for dividends too.
    """
    if adjustment is Adjustment.RAW:
        return _with_prices(raw.bars, _tidied)
    bars = _rescaled(raw.bars, 1.0 / split_factors(raw.bars.sessions, raw.splits))
    if adjustment is Adjustment.ALL:
        bars = _repriced(bars, dividend_factors(bars, raw.dividends, raw.splits))
    return _with_prices(bars, _tidied)


def split_factors(days: Days, splits: Sequence[Split]) -> Floats:
    """Return how many units of the end one unit of each day has become.

    It is the product of new / old over the splits with a later ex-date: on its ex-date a split has happened.
    """
    ordered = sorted(splits, key=lambda split: split.ex_date)
    ex_dates = _days(split.ex_date for split in ordered)
    ratios = np.array([split.new_units / split.old_units for split in ordered] + [1.0])
    from_each_on = _products_from_each_on(ratios)
    factors: Floats = from_each_on[np.searchsorted(ex_dates, days, side="right")]
    return factors


def dividend_factors(bars: DailyBars, dividends: Sequence[Dividend], splits: Sequence[Split]) -> Floats:
    """Return what each bar's prices are multiplied by for the dividends after it.

    It is the product of 1 - D / C over the dividends with a later ex-date. One that is not less than the close before
    it can't be a dividend of these units and is passed over.

    Args:
        bars: adjusted for `splits`.
        dividends: amounts as they were paid.
        splits: those that the bars are adjusted for.
    """
    ex_dates = _days(each.ex_date for each in dividends)
    amounts = np.array([each.amount for each in dividends]) / split_factors(ex_dates, splits)
    earlier_bars = np.searchsorted(bars.sessions, ex_dates, side="left")
    counts = earlier_bars > 0
    closes = bars.close[earlier_bars[counts] - 1]
    multipliers = 1.0 - amounts[counts] / closes
    factors_at: Floats = np.ones(len(bars) + 1)
    np.multiply.at(factors_at, earlier_bars[counts], np.where(multipliers > 0.0, multipliers, 1.0))
    return _products_from_each_on(factors_at)[1:]


def _products_from_each_on(factors: Floats) -> Floats:
    products: Floats = np.cumprod(factors[::-1], dtype=np.float64)[::-1]
    return products


def _raw_dividends(dividends: Iterable[Dividend], splits: Sequence[Split]) -> Sequence[Dividend]:
    amounts: dict[date, float] = {}
    for each in dividends:
        amounts[each.ex_date] = amounts.get(each.ex_date, 0.0) + each.amount
    factors = split_factors(_days(amounts), splits).tolist()
    paid = [
        Dividend(ex_date, amount * factor) for (ex_date, amount), factor in zip(amounts.items(), factors, strict=True)
    ]
    return tuple(sorted(paid, key=lambda each: each.ex_date))


def _merged_splits(splits: Iterable[Split]) -> Sequence[Split]:
    by_date: dict[date, list[Split]] = {}
    for each in sorted(splits, key=lambda split: split.ex_date):
        by_date.setdefault(each.ex_date, []).append(each)
    return tuple(
        Split(
            instrument=same_day[0].instrument,
            ex_date=ex_date,
            new_units=prod(each.new_units for each in same_day),
            old_units=prod(each.old_units for each in same_day),
            source=same_day[0].source,
        )
        for ex_date, same_day in by_date.items()
    )


def _sound(bars: DailyBars) -> DailyBars:
    prices = np.stack([bars.open, bars.high, bars.low, bars.close])
    is_sound = np.all(np.isfinite(prices) & (prices > 0.0), axis=0)
    if bool(np.all(is_sound)):
        return bars
    return DailyBars(
        instrument=bars.instrument,
        sessions=bars.sessions[is_sound],
        open=bars.open[is_sound],
        high=bars.high[is_sound],
        low=bars.low[is_sound],
        close=bars.close[is_sound],
        volume=None if bars.volume is None else bars.volume[is_sound],
    )


def _rescaled(bars: DailyBars, factors: Floats) -> DailyBars:
    """Return bars with prices multiplied and volumes divided, volumes whole."""
    if bars.volume is None:
        return _repriced(bars, factors)
    volume = np.rint(bars.volume / factors).astype(np.int64)
    return replace(_repriced(bars, factors), volume=volume)


def _repriced(bars: DailyBars, factors: Floats) -> DailyBars:
    return _with_prices(bars, lambda prices: prices * factors)


def _with_prices(bars: DailyBars, change: Callable[[Floats], Floats]) -> DailyBars:
    return replace(bars, open=change(bars.open), high=change(bars.high), low=change(bars.low), close=change(bars.close))


def _tidied(prices: Floats) -> Floats:
    """Round to significant digits, so that a factor there and back leaves no trace such as 0.30000000000000004."""
    decimals = SIGNIFICANT_DIGITS - 1 - np.floor(np.log10(prices)).astype(np.int64)
    scales = _POWERS_OF_TEN[np.clip(decimals, 0, len(_POWERS_OF_TEN) - 1)]
    tidied: Floats = np.rint(prices * scales) / scales
    return tidied


def _days(days: Iterable[date]) -> Days:
    return np.array(list(days), dtype="datetime64[D]")
