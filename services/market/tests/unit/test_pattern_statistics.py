from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.domain.bars import DailyBars
from market.domain.pattern_statistics import (
    PatternKey,
    PatternStatistics,
    TrackRecord,
    configuration_key,
    measure,
    wilson_interval,
)
from market.domain.patterns import PATTERNS, Direction, Panel, scan

MakeBars = Callable[..., DailyBars]

ENGULFING_UP = PatternKey("engulfing", Direction.BULLISH)
MONDAY = date(2024, 1, 1)


def records_before(series: Sequence[DailyBars], session: date) -> PatternStatistics:
    panel = Panel.join(series)
    return measure(panel, scan(panel)).before(session)


def recounted_before(series: Sequence[DailyBars], session: date) -> dict[PatternKey, TrackRecord]:
    """The same figures, one instrument, one bar and one pattern at a time."""
    cases: Counter[PatternKey] = Counter()
    hits: Counter[PatternKey] = Counter()
    base_hits: Counter[Direction | None] = Counter()
    base_cases = 0
    for bars in series:
        found = scan(Panel.join([bars]))
        patterns_at: dict[int, list[PatternKey]] = {}
        for position, sign, bar in zip(found.patterns, found.directions, found.bars, strict=True):
            patterns_at.setdefault(int(bar), []).append(PatternKey(PATTERNS[position].name, Direction(sign)))
        for bar in range(len(bars) - 5):
            if bars.sessions[bar + 5].astype(date) >= session:
                continue
            move = bars.close[bar + 5] - bars.close[bar]
            came_true = Direction.BULLISH if move > 0 else Direction.BEARISH if move < 0 else None
            base_cases += 1
            base_hits[came_true] += 1
            for key in patterns_at.get(bar, []):
                cases[key] += 1
                hits[key] += key.direction is came_true
    return {
        PatternKey(pattern.name, direction): TrackRecord(
            cases=cases[PatternKey(pattern.name, direction)],
            hits=hits[PatternKey(pattern.name, direction)],
            base_cases=base_cases,
            base_hits=base_hits[direction],
        )
        for pattern in PATTERNS
        for direction in Direction
    }


def engulfing_then(*closes: float, first_session: date = MONDAY, instrument: str = "NSE:TCS") -> DailyBars:
    """Three bars, the third a bullish engulfing that closes at 108, and flat bars at `closes`, on consecutive days."""
    candles = [(109.0, 109.5, 107.0, 108.0), (107.0, 107.5, 105.5, 106.0), (105.5, 108.5, 105.0, 108.0)]
    candles += [(close, close, close, close) for close in closes]
    sessions = np.datetime64(first_session) + np.arange(len(candles))
    return DailyBars(instrument, sessions, *np.array(candles).T.copy())


@given(
    seed=st.integers(0, 10_000),
    lengths=st.lists(st.integers(0, 60), min_size=1, max_size=6),
    price=st.sampled_from([3.0, 100.0]),
    day=st.integers(0, 100),
)
def test_the_counts_equal_a_recount_bar_by_bar(
    make_bars: MakeBars, *, seed: int, lengths: list[int], price: float, day: int
) -> None:
    series = [make_bars(f"NSE:S{i}", seed=seed + i, count=count, price=price) for i, count in enumerate(lengths)]
    session = date(2023, 1, 2) + timedelta(days=day)
    assert records_before(series, session).records == recounted_before(series, session)


def test_the_recount_sees_cases_and_hits(make_bars: MakeBars) -> None:
    series = [make_bars(f"NSE:S{seed}", seed=seed, count=60) for seed in range(6)]
    records = recounted_before(series, date(2024, 1, 1)).values()
    assert sum(record.cases for record in records) > 300
    assert sum(record.hits for record in records) > 100


@given(seed=st.integers(0, 10_000), cut=st.integers(1, 60))
def test_bars_from_a_session_on_change_nothing_known_before_it(make_bars: MakeBars, seed: int, cut: int) -> None:
    series = [make_bars(f"NSE:S{i}", seed=seed + i, count=60) for i in range(3)]
    session = series[0].sessions[cut - 1].astype(date)
    past = [bars.until(session - timedelta(days=1)) for bars in series]
    assert records_before(series, session) == records_before(past, session)


def test_a_case_counts_from_the_day_after_its_outcome() -> None:
    bars = engulfing_then(108, 108, 108, 108, 109)
    outcome_known = bars.sessions[7].astype(date)
    on_the_day = records_before([bars], outcome_known).records[ENGULFING_UP]
    the_day_after = records_before([bars], outcome_known + timedelta(days=1)).records[ENGULFING_UP]
    assert (on_the_day.cases, on_the_day.hits) == (0, 0)
    assert (the_day_after.cases, the_day_after.hits) == (1, 1)


def test_an_outcome_needs_five_sessions_of_the_same_instrument() -> None:
    series = [engulfing_then(108, 108, 108, 109), engulfing_then(120, 120, 120, 120, instrument="NSE:INFY")]
    assert records_before(series, date(2030, 1, 1)).records[ENGULFING_UP].cases == 0


@pytest.mark.parametrize(("close", "hits"), [(108.05, 1), (108.0, 0), (107.95, 0)])
def test_only_a_move_to_the_patterns_side_is_a_hit(close: float, hits: int) -> None:
    record = records_before([engulfing_then(110, 111, 112, 113, close)], date(2030, 1, 1)).records[ENGULFING_UP]
    assert (record.cases, record.hits) == (1, hits)


def test_an_unchanged_close_is_a_hit_of_no_direction_in_the_base_rate_either() -> None:
    flat = DailyBars("NSE:A", np.datetime64(MONDAY) + np.arange(25), *([np.full(25, 10.0)] * 4))
    records = records_before([flat], date(2030, 1, 1)).records
    assert {record.base_hits for record in records.values()} == {0}
    assert {record.base_cases for record in records.values()} == {20}
    assert {record.base_rate for record in records.values()} == {0.0}


def test_instruments_of_different_calendars_are_pooled_by_date() -> None:
    early = engulfing_then(108, 108, 108, 108, 109, instrument="NSE:EARLY")
    late = engulfing_then(108, 108, 108, 108, 107, first_session=MONDAY + timedelta(days=60), instrument="NASDAQ:LATE")
    series = [late, early]
    assert [
        records_before(series, MONDAY + timedelta(days=day)).records[ENGULFING_UP].cases for day in (0, 30, 90)
    ] == [
        0,
        1,
        2,
    ]


def test_nothing_is_known_without_bars() -> None:
    record = records_before([], MONDAY).records[ENGULFING_UP]
    assert record == TrackRecord(cases=0, hits=0, base_cases=0, base_hits=0)
    assert (record.hit_rate, record.interval, record.base_rate) == (None, None, None)


def test_thirty_cases_make_a_hit_rate_and_fewer_do_not() -> None:
    enough = TrackRecord(cases=30, hits=18, base_cases=1000, base_hits=510)
    too_few = TrackRecord(cases=29, hits=18, base_cases=1000, base_hits=510)
    assert enough.hit_rate == 0.6
    assert enough.interval is not None
    assert (too_few.hit_rate, too_few.interval, too_few.base_rate) == (None, None, 0.51)


@pytest.mark.parametrize(
    ("hits", "cases", "low", "high"),
    # The interval's own published example (Newcombe, Statistics in Medicine 17, 1998, table I, method 3).
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_the_published_one(hits: int, cases: int, low: float, high: float) -> None:
    assert wilson_interval(hits, cases) == pytest.approx((low, high), abs=5e-5)


@given(cases=st.integers(1, 10_000_000), share=st.floats(0, 1))
def test_the_interval_holds_the_share_and_stays_between_0_and_1(cases: int, share: float) -> None:
    hits = round(share * cases)
    interval = wilson_interval(hits, cases)
    assert 0 <= interval.low <= hits / cases + 1e-12
    assert hits / cases - 1e-12 <= interval.high <= 1


def test_another_seed_is_another_configuration() -> None:
    first, second = configuration_key({"seed": 1}), configuration_key({"seed": 2})
    assert first != second
    assert len(first) == len(second) == 16


def test_a_configuration_does_not_depend_on_the_order_of_its_settings() -> None:
    assert configuration_key({"seed": 1, "bars": 500}) == configuration_key({"bars": 500, "seed": 1})


def test_another_method_is_another_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    before = configuration_key({"seed": 1})
    monkeypatch.setattr("market.domain.pattern_statistics.METHOD", "next")
    assert configuration_key({"seed": 1}) != before
