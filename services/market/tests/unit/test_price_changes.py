from collections.abc import Mapping
from dataclasses import fields
from datetime import date

import numpy as np
import pytest

from market.domain.bars import DailyBars
from market.domain.price_changes import PriceChange, months_before, price_change, years_before


def bars(closes: Mapping[str, float]) -> DailyBars:
    column = np.array(list(closes.values()), dtype=np.float64)
    sessions = np.array(list(closes), dtype="datetime64[D]")
    return DailyBars("NSE:TCS", sessions, column, column.copy(), column.copy(), column.copy())


def test_sessions_are_counted_by_bars() -> None:
    closes = {"2024-05-20": 100.0, "2024-05-21": 1.0, "2024-05-22": 1.0, "2024-05-23": 1.0, "2024-05-24": 80.0}
    change = price_change(bars({**closes, "2024-05-27": 120.0}))
    assert change.day_1 == 50.0
    assert change.day_5 == 20.0


def test_a_month_ends_with_the_last_close_on_or_before_its_day() -> None:
    change = price_change(bars({"2024-04-25": 80.0, "2024-04-26": 100.0, "2024-04-29": 1.0, "2024-05-28": 110.0}))
    assert change.month_1 == 10.0


def test_a_close_on_the_day_itself_counts() -> None:
    assert price_change(bars({"2024-04-27": 1.0, "2024-04-28": 100.0, "2024-05-28": 90.0})).month_1 == -10.0


def test_the_year_to_date_begins_with_the_last_close_of_the_year_before() -> None:
    change = price_change(bars({"2023-12-28": 1.0, "2023-12-29": 200.0, "2024-01-02": 7.0, "2024-05-28": 100.0}))
    assert change.ytd == -50.0


def test_every_period_has_its_own_beginning() -> None:
    closes = {
        "2013-01-01": 800.0,
        "2014-05-28": 400.0,
        "2019-05-28": 320.0,
        "2021-05-28": 250.0,
        "2023-05-26": 200.0,
        "2023-11-28": 160.0,
        "2023-12-29": 125.0,
        "2024-02-28": 80.0,
        "2024-04-28": 64.0,
        "2024-05-28": 100.0,
    }
    assert price_change(bars(closes)) == PriceChange(
        day_1=56.25,
        day_5=-50.0,
        month_1=56.25,
        month_3=25.0,
        month_6=-37.5,
        ytd=-20.0,
        year_1=-50.0,
        year_3=-60.0,
        year_5=-68.75,
        year_10=-75.0,
        max=-87.5,
    )


def test_what_is_older_than_the_history_is_absent() -> None:
    change = price_change(bars({"2024-05-10": 50.0, "2024-05-27": 80.0, "2024-05-28": 100.0}))
    assert change == PriceChange(day_1=25.0, max=100.0)


@pytest.mark.parametrize("closes", [{}, {"2024-05-28": 100.0}], ids=["none", "one"])
def test_without_two_bars_there_is_no_change(closes: Mapping[str, float]) -> None:
    change = price_change(bars(closes))
    assert {getattr(change, each.name) for each in fields(change)} == {None}


def test_changes_have_five_decimals_and_no_negative_zero() -> None:
    assert price_change(bars({"2024-05-27": 3.0, "2024-05-28": 4.0})).day_1 == 33.33333
    assert str(price_change(bars({"2024-05-27": 1e9, "2024-05-28": 1e9 - 1e-6})).day_1) == "0.0"


@pytest.mark.parametrize(
    ("day", "months", "before"),
    [
        (date(2024, 5, 31), 1, date(2024, 4, 30)),
        (date(2024, 5, 31), 3, date(2024, 2, 29)),
        (date(2023, 5, 31), 3, date(2023, 2, 28)),
        (date(2024, 1, 15), 1, date(2023, 12, 15)),
        (date(2024, 3, 28), 6, date(2023, 9, 28)),
        (date(2024, 12, 31), 12, date(2023, 12, 31)),
    ],
)
def test_months_end_with_their_last_day(day: date, months: int, before: date) -> None:
    assert months_before(day, months) == before


def test_a_leap_day_has_a_day_in_every_year() -> None:
    assert years_before(date(2024, 2, 29), 1) == date(2023, 2, 28)
    assert years_before(date(2024, 2, 29), 4) == date(2020, 2, 29)
