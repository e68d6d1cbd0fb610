from datetime import date

import numpy as np
import numpy.typing as npt

from market.domain.bars import DailyBars
from market.domain.quote_details import QuoteDetails
from market.domain.year_figures import year_figures

NEWEST = np.datetime64(date(2024, 5, 31))


def bars(closes: npt.NDArray[np.float64], volume: npt.NDArray[np.int64] | None = None) -> DailyBars:
    """One bar a day up to the newest, a unit high and low of the close."""
    sessions = NEWEST - np.arange(len(closes))[::-1]
    return DailyBars("NSE:TCS", sessions, closes.copy(), closes + 1.0, closes - 1.0, closes.copy(), volume)


def test_highs_and_lows_are_of_52_weeks() -> None:
    closes = np.full(400, 100.0)
    closes[-364], closes[-200] = 150.0, 50.0
    closes[-365], closes[0] = 999.0, 2.0
    figures = year_figures(bars(closes))
    assert (figures.year_high, figures.year_low) == (151.0, 49.0)


def test_averages_are_of_the_newest_closes() -> None:
    figures = year_figures(bars(np.arange(1.0, 301.0)))
    assert (figures.price_avg50, figures.price_avg200) == (275.5, 200.5)


def test_averages_have_six_decimals() -> None:
    closes = np.full(50, 1.0)
    closes[0] = 1.0 + 1 / 3
    assert year_figures(bars(closes)).price_avg50 == 1.006667


def test_the_average_volume_is_of_50_sessions_and_whole() -> None:
    volume = np.full(60, 10, dtype=np.int64)
    volume[:10], volume[-1] = 1_000_000, 90
    figures = year_figures(bars(np.full(60, 100.0), volume))
    assert figures.avg_volume == 12
    assert isinstance(figures.avg_volume, int)


def test_what_takes_more_sessions_is_absent() -> None:
    figures = year_figures(bars(np.full(49, 100.0), np.full(49, 5, dtype=np.int64)))
    assert figures == QuoteDetails(year_high=101.0, year_low=99.0)
    assert year_figures(bars(np.full(199, 100.0))).price_avg50 == 100.0
    assert year_figures(bars(np.full(199, 100.0))).price_avg200 is None


def test_there_is_no_average_volume_where_there_is_no_volume() -> None:
    assert year_figures(bars(np.full(60, 100.0))).avg_volume is None


def test_there_are_no_figures_without_bars() -> None:
    assert year_figures(bars(np.array([]))) == QuoteDetails()
