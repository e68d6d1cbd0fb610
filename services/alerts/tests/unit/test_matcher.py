import math
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from alerts.domain.alerts import AlertType
from alerts.domain.matcher import Crossing, Entry, Matcher

INSTRUMENTS = ("NSE:TCS", "NASDAQ:AAPL", "FX:EURUSD")
BUY, SELL = AlertType.BUY, AlertType.SELL

PRICES = st.sampled_from([1.0, 1.5, 2.0, 2.25, 3.0, 4.0, 150.1, math.nan, math.inf, -math.inf, 0.0, -1.0])
THRESHOLDS = st.sampled_from([1.0, 1.5, 2.0, 2.25, 3.0, 4.0, 150.1])
TICKS = st.lists(st.tuples(st.sampled_from((*INSTRUMENTS, "NYSE:IBM")), PRICES), max_size=8)


class NaiveScan:
    """Looks at every alert for every tick."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def evaluate(self, instruments: Sequence[str], prices: Sequence[float], position: int) -> list[Crossing]:
        crossings = []
        for tick, (instrument, price) in enumerate(zip(instruments, prices, strict=True)):
            reached = [entry for entry in self.entries if self._fires(entry, instrument, price, position)]
            crossings += [Crossing(entry.alert_id, entry.generation, tick) for entry in reached]
            self.entries = [entry for entry in self.entries if entry not in reached]
        return crossings

    @staticmethod
    def _fires(entry: Entry, instrument: str, price: float, position: int) -> bool:
        if entry.instrument != instrument or not 0 < price < math.inf or position <= entry.armed:
            return False
        return price <= entry.threshold if entry.type is BUY else price >= entry.threshold


def make_entry(
    alert_id: int = 1, *, threshold: float = 100.0, alert_type: AlertType = BUY, armed: int = 0, generation: int = 1
) -> Entry:
    return Entry(alert_id, generation, "NSE:TCS", alert_type, threshold, armed)


def evaluate(matcher: Matcher, *prices: float, position: int = 1) -> list[tuple[int, int]]:
    crossings = matcher.evaluate(["NSE:TCS"] * len(prices), prices, position)
    return [(crossing.alert_id, crossing.tick) for crossing in crossings]


def by_tick(crossings: Sequence[Crossing]) -> list[tuple[int, int, int]]:
    return sorted((crossing.tick, crossing.alert_id, crossing.generation) for crossing in crossings)


@pytest.mark.parametrize(
    ("alert_type", "price", "fires"),
    [
        (BUY, 99.0, True),
        (BUY, 100.0, True),
        (BUY, 100.1, False),
        (SELL, 101.0, True),
        (SELL, 100.0, True),
        (SELL, 99.9, False),
    ],
)
def test_a_buy_fires_at_or_below_and_a_sell_at_or_above(alert_type: AlertType, price: float, *, fires: bool) -> None:
    matcher = Matcher()
    matcher.insert(make_entry(alert_type=alert_type))
    assert evaluate(matcher, price) == ([(1, 0)] if fires else [])
    assert len(matcher) == (0 if fires else 1)


def test_an_alert_fires_once() -> None:
    matcher = Matcher()
    matcher.insert(make_entry())
    assert evaluate(matcher, 99.0, 98.0) == [(1, 0)]
    assert evaluate(matcher, 97.0) == []


def test_a_tick_at_or_before_the_armed_position_does_not_fire() -> None:
    matcher = Matcher()
    matcher.insert(make_entry(armed=7))
    assert evaluate(matcher, 99.0, position=7) == []
    assert evaluate(matcher, 99.0, position=8) == [(1, 0)]


def test_an_alert_armed_later_does_not_hide_those_behind_it() -> None:
    matcher = Matcher()
    matcher.extend([make_entry(1, threshold=101.0, armed=9), make_entry(2, threshold=100.0)])
    assert evaluate(matcher, 99.0, position=5) == [(2, 0)]
    assert evaluate(matcher, 99.0, position=10) == [(1, 0)]


def test_what_one_tick_fires_comes_nearest_first_and_oldest_first_at_a_price() -> None:
    matcher = Matcher()
    matcher.extend([make_entry(1, threshold=100.0), make_entry(2, threshold=101.0), make_entry(3, threshold=100.0)])
    matcher.insert(make_entry(4, threshold=100.0))
    matcher.extend([make_entry(5, threshold=100.0)])
    assert evaluate(matcher, 99.0) == [(2, 0), (1, 0), (3, 0), (4, 0), (5, 0)]


@pytest.mark.parametrize("price", [math.nan, math.inf, -math.inf, 0.0, -5.0])
def test_a_price_that_is_none_fires_nothing(price: float) -> None:
    matcher = Matcher()
    matcher.extend([make_entry(1), make_entry(2, alert_type=SELL)])
    assert evaluate(matcher, price) == []
    assert len(matcher) == 2


def test_only_the_given_generation_is_discarded() -> None:
    matcher = Matcher()
    matcher.extend([make_entry(generation=1), make_entry(2), make_entry(generation=2)])
    assert matcher.discard(make_entry(generation=2))
    assert not matcher.discard(make_entry(generation=2))
    assert not matcher.discard(make_entry(generation=3))
    assert not matcher.discard(make_entry(alert_type=SELL))
    assert not matcher.discard(Entry(1, 1, "NSE:INFY", BUY, 100.0, 0))
    assert evaluate(matcher, 99.0) == [(1, 0), (2, 0)]


@given(
    entries=st.lists(
        st.tuples(st.sampled_from(INSTRUMENTS), st.sampled_from(AlertType), THRESHOLDS, st.integers(0, 3)), max_size=12
    ),
    batches=st.lists(TICKS, max_size=4),
)
def test_it_fires_what_a_naive_scan_fires(
    entries: list[tuple[str, AlertType, float, int]], batches: list[list[tuple[str, float]]]
) -> None:
    matcher, naive = Matcher(), NaiveScan()
    naive.entries = [Entry(index, 1, *entry) for index, entry in enumerate(entries)]
    matcher.extend(naive.entries)
    for position, batch in enumerate(batches):
        instruments, prices = [tick[0] for tick in batch], [tick[1] for tick in batch]
        fired = matcher.evaluate(instruments, prices, position)
        assert by_tick(fired) == by_tick(naive.evaluate(instruments, prices, position))
    assert len(matcher) == len(naive.entries)


class MatcherAgainstScan(RuleBasedStateMachine):
    """Inserts, replaces, discards and evaluates in any order, with the scan beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.matcher, self.naive = Matcher(), NaiveScan()
        self.position = 0
        self.next_id = 1

    def _entry(self, instrument: str, alert_type: AlertType, threshold: float) -> Entry:
        self.next_id += 1
        return Entry(self.next_id, 1, instrument, alert_type, threshold, self.position)

    @rule(instrument=st.sampled_from(INSTRUMENTS), alert_type=st.sampled_from(AlertType), threshold=THRESHOLDS)
    def insert(self, instrument: str, alert_type: AlertType, threshold: float) -> None:
        entry = self._entry(instrument, alert_type, threshold)
        self.matcher.insert(entry)
        self.naive.entries.append(entry)

    @rule(
        alerts=st.lists(
            st.tuples(st.sampled_from(INSTRUMENTS), st.sampled_from(AlertType), THRESHOLDS), min_size=1, max_size=6
        )
    )
    def extend(self, alerts: list[tuple[str, AlertType, float]]) -> None:
        entries = [self._entry(*alert) for alert in alerts]
        self.matcher.extend(entries)
        self.naive.entries += entries

    @rule(choice=st.randoms(use_true_random=False), threshold=THRESHOLDS)
    def replace(self, choice: "st.random.Random", threshold: float) -> None:  # type: ignore[name-defined]
        if not self.naive.entries:
            return
        old = choice.choice(self.naive.entries)
        new = Entry(old.alert_id, old.generation + 1, old.instrument, old.type, threshold, self.position)
        assert self.matcher.discard(old)
        self.matcher.insert(new)
        self.naive.entries.remove(old)
        self.naive.entries.append(new)

    @rule(choice=st.randoms(use_true_random=False))
    def discard(self, choice: Random) -> None:
        if not self.naive.entries:
            return
        old = choice.choice(self.naive.entries)
        assert self.matcher.discard(old)
        assert not self.matcher.discard(old)
        self.naive.entries.remove(old)

    @rule(ticks=TICKS, advance=st.integers(0, 2))
    def evaluate(self, ticks: list[tuple[str, float]], advance: int) -> None:
        self.position += advance
        instruments, prices = [tick[0] for tick in ticks], [tick[1] for tick in ticks]
        fired = self.matcher.evaluate(instruments, prices, self.position)
        assert by_tick(fired) == by_tick(self.naive.evaluate(instruments, prices, self.position))

    @invariant()
    def nothing_is_lost(self) -> None:
        assert len(self.matcher) == len(self.naive.entries)


TestMatcherAgainstScan = MatcherAgainstScan.TestCase
TestMatcherAgainstScan.settings = settings(max_examples=60, stateful_step_count=25)
