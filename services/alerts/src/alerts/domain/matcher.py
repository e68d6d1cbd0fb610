"""Finds the alerts that a price fires, among very many, without looking at the others.

An instrument keeps its alerts in two ladders, sorted so that the alert nearest to the market stands at the end, and the
open interval between the two nearest targets. A price inside the interval fires nothing, which is all that most ticks
cost: one dictionary lookup and two comparisons.
"""

import math
from array import array
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from alerts.domain.alerts import AlertType

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True)
class Entry:
    """An armed alert as the matcher sees it.

    Attributes:
        alert_id: identifies the alert.
        generation: says which arming of the alert this is.
        instrument: `EXCHANGE:SYMBOL`.
        type: buy fires at or below the threshold, sell at or above it.
        threshold: the price to compare ticks with, from `threshold_of`.
        armed: packed position the alert was armed at; ticks up to and including it do not fire it.
    """

    alert_id: int
    generation: int
    instrument: str
    type: AlertType
    threshold: float
    armed: int


@dataclass(frozen=True, slots=True)
class Crossing:
    """One arming of an alert reached by one tick.

    Attributes:
        alert_id: identifies the alert.
        generation: says which arming of the alert was reached.
        tick: index of the tick in the columns that were evaluated.
    """

    alert_id: int
    generation: int
    tick: int


class _Ladder:
    """One side of one instrument: parallel arrays sorted by key, the next to fire at the end.

    A key is the threshold of a buy and the negated threshold of a sell, so that on both sides a key fires when it is
    at least the price's own key. Among equal keys the one inserted first stands last and is taken first.
    """

    __slots__ = ("_alert_ids", "_armed", "_generations", "_keys")

    def __init__(self) -> None:
        self._keys = array("d")
        self._alert_ids = array("q")
        self._generations = array("i")
        self._armed = array("q")

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def top(self) -> float:
        """Return the key that fires first; minus infinity when there is none."""
        return self._keys[-1] if self._keys else -math.inf

    def insert(self, key: float, entry: Entry) -> None:
        index = bisect_left(self._keys, key)
        self._keys.insert(index, key)
        self._alert_ids.insert(index, entry.alert_id)
        self._generations.insert(index, entry.generation)
        self._armed.insert(index, entry.armed)

    def extend(self, entries: Iterable[tuple[float, Entry]]) -> None:
        """Insert many: one sort, where inserting would move the arrays for each."""
        newest_first = list(entries)[::-1]
        self._keys = array("d", [key for key, _ in newest_first]) + self._keys
        self._alert_ids = array("q", [entry.alert_id for _, entry in newest_first]) + self._alert_ids
        self._generations = array("i", [entry.generation for _, entry in newest_first]) + self._generations
        self._armed = array("q", [entry.armed for _, entry in newest_first]) + self._armed
        order = np.argsort(np.frombuffer(self._keys), kind="stable")
        self._keys = _reordered(self._keys, order)
        self._alert_ids = _reordered(self._alert_ids, order)
        self._generations = _reordered(self._generations, order)
        self._armed = _reordered(self._armed, order)

    def discard(self, key: float, alert_id: int, generation: int) -> bool:
        first, last = bisect_left(self._keys, key), bisect_right(self._keys, key)
        while first < last:
            try:
                index = self._alert_ids.index(alert_id, first, last)
            except ValueError:
                return False
            if self._generations[index] == generation:
                self._delete(index, index + 1)
                return True
            first = index + 1
        return False

    def take(self, key: float, position: int) -> list[tuple[int, int]]:
        """Remove and return what `key` reaches and was armed before `position`, the nearest to the market first."""
        first = bisect_left(self._keys, key)
        reached = range(len(self._keys) - 1, first - 1, -1)
        fired = [index for index in reached if self._armed[index] < position]
        taken = [(self._alert_ids[index], self._generations[index]) for index in fired]
        if len(fired) == len(reached):
            self._delete(first, len(self._keys))
            return taken
        for index in fired:
            self._delete(index, index + 1)
        return taken

    def _delete(self, first: int, last: int) -> None:
        del self._keys[first:last]
        del self._alert_ids[first:last]
        del self._generations[first:last]
        del self._armed[first:last]


def _reordered(column: "array[Number]", order: "np.ndarray[Any, np.dtype[np.intp]]") -> "array[Number]":
    return array(column.typecode, np.frombuffer(column, dtype=column.typecode)[order].tobytes())


class _Book:
    """Both sides of one instrument."""

    __slots__ = ("buys", "sells")

    def __init__(self) -> None:
        self.buys = _Ladder()
        self.sells = _Ladder()

    def __len__(self) -> int:
        return len(self.buys) + len(self.sells)

    @property
    def quiet_interval(self) -> tuple[float, float]:
        """Return the open interval of prices that fire nothing."""
        return self.buys.top, -self.sells.top

    def side(self, alert_type: AlertType) -> _Ladder:
        return self.buys if alert_type is AlertType.BUY else self.sells


class Matcher:
    """The armed alerts of all instruments; not thread-safe, and it never awaits."""

    def __init__(self) -> None:
        self._books: dict[str, _Book] = {}
        self._quiet_intervals: dict[str, tuple[float, float]] = {}
        self._watched = 0

    def __len__(self) -> int:
        return self._watched

    def insert(self, entry: Entry) -> None:
        """Watch for one more alert."""
        self._book(entry.instrument).side(entry.type).insert(_key_of(entry), entry)
        self._watched += 1
        self._refresh(entry.instrument)

    def extend(self, entries: Iterable[Entry]) -> None:
        """Watch for many more alerts; cheapest when each instrument's come together."""
        sides: defaultdict[tuple[str, AlertType], list[tuple[float, Entry]]] = defaultdict(list)
        for entry in entries:
            sides[entry.instrument, entry.type].append((_key_of(entry), entry))
        for (instrument, alert_type), keyed in sides.items():
            self._book(instrument).side(alert_type).extend(keyed)
            self._watched += len(keyed)
            self._refresh(instrument)

    def discard(self, entry: Entry) -> bool:
        """Stop watching for an arming of an alert; return whether it was watched for."""
        book = self._books.get(entry.instrument)
        if book is None or not book.side(entry.type).discard(_key_of(entry), entry.alert_id, entry.generation):
            return False
        self._watched -= 1
        self._refresh(entry.instrument)
        return True

    def evaluate(self, instruments: Sequence[str], prices: Sequence[float], position: int) -> list[Crossing]:
        """Take out and return the alerts that ticks reach, by tick, then nearest to the market, then oldest first.

        Args:
            instruments: the instrument of each tick.
            prices: the price of each tick; one that is not above 0 and finite reaches nothing.
            position: packed position of the ticks; alerts armed at it or after it are left alone.
        """
        intervals = map(self._quiet_intervals.get, instruments)
        loud = [
            tick
            for tick, (interval, price) in enumerate(zip(intervals, prices, strict=True))
            if interval is not None and not interval[0] < price < interval[1]
        ]
        # The intervals only widen while alerts are taken out, so what was quiet stays quiet.
        return [
            Crossing(alert_id, generation, tick)
            for tick in loud
            if 0 < prices[tick] < math.inf
            for alert_id, generation in self._take(instruments[tick], prices[tick], position)
        ]

    def _take(self, instrument: str, price: float, position: int) -> list[tuple[int, int]]:
        book = self._books.get(instrument)
        if book is None:
            return []
        taken = book.buys.take(price, position) + book.sells.take(-price, position)
        if taken:
            self._watched -= len(taken)
            self._refresh(instrument)
        return taken

    def _book(self, instrument: str) -> _Book:
        book = self._books.get(instrument)
        if book is None:
            book = self._books[instrument] = _Book()
        return book

    def _refresh(self, instrument: str) -> None:
        book = self._books[instrument]
        if len(book):
            self._quiet_intervals[instrument] = book.quiet_interval
            return
        del self._books[instrument]
        del self._quiet_intervals[instrument]


def _key_of(entry: Entry) -> float:
    return entry.threshold if entry.type is AlertType.BUY else -entry.threshold
