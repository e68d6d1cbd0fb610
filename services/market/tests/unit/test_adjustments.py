from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.domain.adjustments import Adjustment, adjusted, dividend_factors, split_factors, unadjusted
from market.domain.bars import DailyBars
from market.domain.companies import Dividend
from market.domain.history import DailyHistory
from market.domain.raw_history import RawHistory
from market.domain.splits import Split

MONDAY = date(2024, 1, 1)


def day(number: int) -> date:
    return MONDAY + timedelta(days=number)


def split(number: int, new: int, old: int = 1) -> Split:
    return Split("NSE:TCS", day(number), new, old, "yahoo")


def bars(closes: Sequence[float], volumes: Sequence[int] | None = None, *, skip: Sequence[int] = ()) -> DailyBars:
    """One bar a day from MONDAY on, all four prices the close, without the days in `skip`."""
    numbers = [number for number in range(len(closes) + len(skip)) if number not in skip]
    column = np.array(closes, dtype=np.float64)
    return DailyBars(
        "NSE:TCS",
        np.datetime64(MONDAY) + np.array(numbers, dtype=np.int64),
        column,
        column.copy(),
        column.copy(),
        column.copy(),
        volume=None if volumes is None else np.array(volumes, dtype=np.int64),
    )


def raw(closes: Sequence[float], *splits: Split, dividends: Sequence[Dividend] = ()) -> RawHistory:
    return RawHistory(bars(closes), splits, dividends)


def closes_of(history: RawHistory, adjustment: Adjustment) -> list[float]:
    return [float(close) for close in adjusted(history, adjustment).close]


def test_raw_is_what_was_paid() -> None:
    history = raw([100.0, 50.0], split(1, 2), dividends=[Dividend(day(1), 1.0)])
    assert closes_of(history, Adjustment.RAW) == [100.0, 50.0]


def test_a_split_changes_the_sessions_before_its_ex_date_alone() -> None:
    assert closes_of(raw([100.0, 100.0, 50.0, 50.0], split(2, 2)), Adjustment.SPLIT) == [50.0, 50.0, 50.0, 50.0]


def test_a_split_on_the_first_day_changes_nothing() -> None:
    assert closes_of(raw([50.0, 51.0], split(0, 2)), Adjustment.SPLIT) == [50.0, 51.0]


def test_a_split_on_the_last_day_changes_all_before() -> None:
    assert closes_of(raw([100.0, 102.0, 51.0], split(2, 2)), Adjustment.SPLIT) == [50.0, 51.0, 51.0]


def test_a_split_after_the_last_bar_changes_all() -> None:
    assert closes_of(raw([100.0, 102.0], split(30, 4)), Adjustment.SPLIT) == [25.0, 25.5]


def test_several_splits_multiply_in_any_order() -> None:
    history = raw([600.0, 300.0, 300.0, 100.0], split(3, 3), split(1, 2))
    assert closes_of(history, Adjustment.SPLIT) == [100.0, 100.0, 100.0, 100.0]


def test_a_consolidation_raises_prices_and_lowers_volumes() -> None:
    history = RawHistory(bars([1.0, 10.0], [1_005, 100]), [split(1, 1, 10)])
    joined = adjusted(history, Adjustment.SPLIT)
    assert joined.close.tolist() == [10.0, 10.0]
    assert joined.volume is not None
    assert joined.volume.tolist() == [100, 100]


def test_volumes_go_the_other_way_and_stay_whole() -> None:
    history = RawHistory(bars([30.0, 20.0], [7, 9]), [split(1, 3, 2)])
    joined = adjusted(history, Adjustment.ALL)
    assert joined.volume is not None
    assert joined.volume.dtype == np.int64
    assert joined.volume.tolist() == [10, 9]


def test_what_has_no_volume_gets_none() -> None:
    assert adjusted(raw([100.0, 50.0], split(1, 2)), Adjustment.SPLIT).volume is None
    assert unadjusted(DailyHistory(bars([50.0, 50.0]), [split(1, 2)])).bars.volume is None


def test_a_dividend_lowers_what_was_before_by_its_share_of_the_close() -> None:
    history = raw([100.0, 80.0, 76.0], dividends=[Dividend(day(2), 4.0)])
    assert closes_of(history, Adjustment.SPLIT) == [100.0, 80.0, 76.0]
    assert closes_of(history, Adjustment.ALL) == [95.0, 76.0, 76.0]


def test_dividends_multiply() -> None:
    history = raw([100.0, 100.0, 100.0], dividends=[Dividend(day(2), 10.0), Dividend(day(1), 50.0)])
    assert closes_of(history, Adjustment.ALL) == [45.0, 90.0, 100.0]


def test_a_dividend_on_a_day_without_a_bar_is_measured_against_the_close_before_it() -> None:
    history = RawHistory(bars([100.0, 80.0, 76.0], skip=[2]), dividends=[Dividend(day(2), 4.0)])
    assert closes_of(history, Adjustment.ALL) == [95.0, 76.0, 76.0]


def test_a_dividend_after_the_last_bar_lowers_all() -> None:
    assert closes_of(raw([100.0, 80.0], dividends=[Dividend(day(2), 4.0)]), Adjustment.ALL) == [95.0, 76.0]


@pytest.mark.parametrize("amount", [80.0, 81.0])
def test_a_dividend_of_the_whole_price_is_passed_over(amount: float) -> None:
    assert closes_of(raw([80.0, 76.0], dividends=[Dividend(day(1), amount)]), Adjustment.ALL) == [80.0, 76.0]


@pytest.mark.parametrize("number", [-3, 0])
def test_a_dividend_without_a_bar_before_it_changes_nothing(number: int) -> None:
    assert closes_of(raw([80.0, 76.0], dividends=[Dividend(day(number), 4.0)]), Adjustment.ALL) == [80.0, 76.0]


def test_a_dividend_before_a_split_is_measured_in_the_units_of_its_day() -> None:
    history = raw([100.0, 96.0, 48.0], split(2, 2), dividends=[Dividend(day(1), 4.0)])
    assert closes_of(history, Adjustment.ALL) == [48.0, 48.0, 48.0]


def test_a_dividend_on_the_day_of_a_split_is_one_of_the_new_units() -> None:
    history = raw([100.0, 48.0], split(1, 2), dividends=[Dividend(day(1), 2.0)])
    assert closes_of(history, Adjustment.ALL) == [48.0, 48.0]


def test_no_bars_stay_none() -> None:
    history = RawHistory(bars([]), [split(1, 2)], [Dividend(day(1), 1.0)])
    assert len(adjusted(history, Adjustment.ALL)) == 0
    assert dividend_factors(history.bars, history.dividends, history.splits).tolist() == []


def test_factors_say_what_one_unit_has_become() -> None:
    days = np.array([day(0), day(1), day(2), day(3)], dtype="datetime64[D]")
    assert split_factors(days, [split(3, 1, 2), split(1, 10)]).tolist() == [5.0, 0.5, 0.5, 1.0]


def test_unadjusting_gives_prices_volumes_and_dividends_of_their_day() -> None:
    told = DailyHistory(bars([25.0, 25.5, 26.0], [400, 200, 100]), [split(2, 2), split(1, 2)], [Dividend(day(1), 0.5)])
    history = unadjusted(told)
    assert history.bars.close.tolist() == [100.0, 51.0, 26.0]
    assert history.bars.volume is not None
    assert history.bars.volume.tolist() == [100, 100, 100]
    assert history.dividends == (Dividend(day(1), 1.0),)
    assert [each.ex_date for each in history.splits] == [day(1), day(2)]


def test_events_of_one_day_become_one() -> None:
    dividends = [Dividend(day(2), 1.0), Dividend(day(1), 2.0), Dividend(day(2), 0.5)]
    history = unadjusted(DailyHistory(bars([1.0, 1.0, 1.0]), [split(2, 3), split(2, 1, 2)], dividends))
    assert history.splits == (split(2, 3, 2),)
    assert history.dividends == (Dividend(day(1), 3.0), Dividend(day(2), 1.5))


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf")])
def test_a_bar_whose_price_is_none_is_left_out(price: float) -> None:
    history = unadjusted(DailyHistory(bars([10.0, price, 12.0], [1, 2, 3])))
    assert history.bars.close.tolist() == [10.0, 12.0]
    assert history.bars.volume is not None
    assert history.bars.volume.tolist() == [1, 3]
    assert len(unadjusted(DailyHistory(bars([10.0, price]))).bars) == 1


def test_factors_leave_no_trace_in_the_decimals() -> None:
    history = unadjusted(DailyHistory(bars([0.3, 0.1, 189.99, 4e13]), [split(3, 7, 3)]))
    assert closes_of(history, Adjustment.SPLIT) == [0.3, 0.1, 189.99, 4e13]


@given(
    closes=st.lists(st.floats(1e-4, 1e6), min_size=1, max_size=40),
    events=st.lists(
        st.tuples(st.integers(-3, 45), st.integers(1, 50), st.integers(1, 50)),
        max_size=5,
        unique_by=lambda each: each[0],
    ),
)
def test_there_and_back_is_the_same(closes: list[float], events: list[tuple[int, int, int]]) -> None:
    splits = [split(number, new, old) for number, new, old in events]
    volumes = [10**9 + number for number in range(len(closes))]
    told = bars(closes, volumes)
    history = unadjusted(DailyHistory(told, splits))
    again = adjusted(history, Adjustment.SPLIT)
    np.testing.assert_allclose(again.close, told.close, rtol=1e-9, atol=0)
    twice = unadjusted(DailyHistory(again, splits))
    np.testing.assert_allclose(twice.bars.close, history.bars.close, rtol=1e-9, atol=0)
    assert twice.bars.sessions.tolist() == told.sessions.tolist()


@given(ratio=st.integers(1, 500), volumes=st.lists(st.integers(0, 10**10), min_size=2, max_size=20))
def test_whole_units_survive_there_and_back(ratio: int, volumes: list[int]) -> None:
    traded = RawHistory(bars([10.0] * len(volumes), volumes), [split(1, ratio)])
    told = adjusted(traded, Adjustment.SPLIT)
    history = unadjusted(DailyHistory(told, traded.splits))
    assert history.bars.volume is not None
    assert history.bars.volume.tolist() == volumes
