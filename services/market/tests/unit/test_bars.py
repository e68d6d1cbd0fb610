from datetime import date

import numpy as np
import pytest

from market.domain.bars import BarsMalformed, DailyBars


def bars(days: list[str], *, volume: bool = True) -> DailyBars:
    prices = np.arange(1.0, len(days) + 1.0)
    return DailyBars(
        instrument="NSE:TCS",
        sessions=np.array(days, dtype="datetime64[D]"),
        open=prices.copy(),
        high=prices + 1.0,
        low=prices - 0.5,
        close=prices + 0.5,
        volume=np.arange(len(days), dtype=np.int64) if volume else None,
    )


WEEK = bars(["2026-01-05", "2026-01-06", "2026-01-08"])


def test_cutting_at_a_session_keeps_it_and_what_was_before() -> None:
    assert [str(day) for day in WEEK.until(date(2026, 1, 6)).sessions] == ["2026-01-05", "2026-01-06"]
    assert [str(day) for day in WEEK.until(date(2026, 1, 7)).sessions] == ["2026-01-05", "2026-01-06"]
    assert len(WEEK.until(date(2026, 1, 4))) == 0


def test_a_tail_is_the_newest_bars() -> None:
    tail = WEEK.tail(2)
    assert tail.last_session == date(2026, 1, 8)
    assert tail.open.tolist() == [2.0, 3.0]
    assert tail.volume is not None
    assert tail.volume.tolist() == [1, 2]
    assert len(WEEK.tail(10)) == 3
    assert len(WEEK.tail(0)) == 0


def test_no_bars_have_no_last_session() -> None:
    empty = bars([], volume=False)
    assert empty.last_session is None
    assert empty.tail(3).volume is None


def test_the_columns_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        WEEK.close[0] = 0.0


@pytest.mark.parametrize("days", [["2026-01-06", "2026-01-05"], ["2026-01-05", "2026-01-05"]])
def test_sessions_that_do_not_rise_are_refused(days: list[str]) -> None:
    with pytest.raises(BarsMalformed, match="NSE:TCS are malformed: its sessions do not rise"):
        bars(days)


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(BarsMalformed, match="differ in length"):
        DailyBars("NSE:TCS", WEEK.sessions, WEEK.open[1:], WEEK.high, WEEK.low, WEEK.close)
