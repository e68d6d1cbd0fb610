from collections.abc import Callable, Sequence
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.domain.bars import DailyBars
from market.domain.pattern_statistics import PatternKey, TrackRecord, measure
from market.domain.patterns import PATTERNS, Direction, Panel, scan
from market.domain.signals import MAX_SIGNALS, Signal, find_signals, strongest

MakeBars = Callable[..., DailyBars]

SESSION = date(2024, 5, 31)


def latest(panel: Panel) -> date:
    assert panel.latest_session is not None
    return panel.latest_session


def signal(instrument: str, *, cases: int = 1000, hits: int = 500, pattern: str = "engulfing") -> Signal:
    record = TrackRecord(cases=cases, hits=hits, base_cases=10_000, base_hits=5_000)
    return Signal(instrument, pattern, Direction.BULLISH, SESSION, record)


def signals_on(series: Sequence[DailyBars], session: date) -> set[Signal]:
    """All signals of a session from whatever bars are given, by the scan of all of them."""
    panel = Panel.join(series)
    found = scan(panel)
    statistics = measure(panel, found).before(session)
    signals = set()
    for position, sign, bar in zip(found.patterns, found.directions, found.bars, strict=True):
        if panel.sessions[bar] == np.datetime64(session):
            key = PatternKey(PATTERNS[position].name, Direction(sign))
            signals.add(Signal(panel.instruments[panel.owners[bar]], *key, session, statistics.records[key]))
    return signals


@given(seed=st.integers(0, 10_000), day=st.integers(0, 99))
def test_bars_after_a_session_change_no_signal_nor_its_confidence(make_bars: MakeBars, seed: int, day: int) -> None:
    series = [make_bars(f"NSE:S{i}", seed=seed + i, count=100) for i in range(4)]
    session = series[0].sessions[day].astype(date)
    past = Panel.join([bars.until(session) for bars in series])
    signals = find_signals(past, measure(past, scan(past)).before(session))
    assert set(signals) == signals_on(series, session)
    assert len(signals) == len(set(signals))


def test_a_confidence_is_the_share_of_hits_before_the_session(make_bars: MakeBars) -> None:
    series = [make_bars(f"NSE:S{seed}", seed=seed, count=400) for seed in range(40)]
    panel = Panel.join(series)
    statistics = measure(panel, scan(panel)).before(latest(panel))
    signals = find_signals(panel, statistics)
    measured = [each for each in signals if each.confidence is not None]
    assert len({each.confidence for each in measured}) > 5
    for each in signals:
        record = statistics.records[PatternKey(each.pattern, each.direction)]
        assert each.confidence == (record.hits / record.cases if record.cases >= 30 else None)
        assert each.base_rate == record.base_hits / record.base_cases


def test_an_instrument_that_did_not_trade_in_the_session_gives_no_signal(make_bars: MakeBars) -> None:
    halted, traded = make_bars("NSE:HALTED", seed=1, count=100), make_bars("NSE:TRADED", seed=2, count=100)
    session = latest(Panel.join([traded]))
    panel = Panel.join([halted.until(session - timedelta(days=1)), traded])
    signals = find_signals(panel, measure(panel, scan(panel)).before(session))
    assert {each.instrument for each in signals} == {"NSE:TRADED"}
    assert {each.session for each in signals} == {session}


def test_a_signal_names_its_own_instrument_beside_some_without_bars(make_bars: MakeBars) -> None:
    bars = make_bars("NSE:B", seed=2, count=100)
    series = [make_bars(f"NSE:{name}", seed=1, count=0) for name in "AC"]
    panel = Panel.join([series[0], bars, series[1]])
    signals = find_signals(panel, measure(panel, scan(panel)).before(latest(panel)))
    assert {each.instrument for each in signals} == {"NSE:B"}


def test_the_lower_bound_over_the_base_rate_decides_not_the_bare_rate() -> None:
    lucky, reliable = signal("NSE:A", cases=30, hits=20), signal("NSE:B", cases=3000, hits=1800)
    assert (lucky.confidence, reliable.confidence) == (20 / 30, 0.6)
    assert [each.instrument for each in strongest([lucky, reliable])] == ["NSE:B", "NSE:A"]


def test_a_signal_without_a_measured_confidence_comes_last() -> None:
    unmeasured, poor = signal("NSE:A", cases=29, hits=29), signal("NSE:B", cases=1000, hits=1)
    assert [each.instrument for each in strongest([unmeasured, poor])] == ["NSE:B", "NSE:A"]
    assert (unmeasured.confidence, unmeasured.interval, unmeasured.edge) == (None, None, None)


def test_a_signal_without_a_base_rate_has_no_edge() -> None:
    record = TrackRecord(cases=30, hits=20, base_cases=0, base_hits=0)
    assert Signal("NSE:A", "doji", Direction.BULLISH, SESSION, record).edge is None


def test_an_instrument_appears_once_with_its_best_signal() -> None:
    better, worse = signal("NSE:A", hits=600, pattern="hammer"), signal("NSE:A", hits=500)
    assert strongest([worse, better]) == (better,)


def test_ties_are_settled_by_name_whatever_the_order() -> None:
    signals = [signal(f"NSE:{letter}") for letter in "CADB"]
    expected = ["NSE:A", "NSE:B", "NSE:C", "NSE:D"]
    assert [each.instrument for each in strongest(signals)] == expected
    assert [each.instrument for each in strongest(reversed(signals))] == expected


@pytest.mark.parametrize(("given_signals", "kept"), [(5, 5), (20, 20), (21, 20)])
def test_at_most_twenty_are_kept(given_signals: int, kept: int) -> None:
    assert (
        len(strongest(signal(f"NSE:{number:03}") for number in range(given_signals)))
        == kept
        == min(given_signals, MAX_SIGNALS)
    )
