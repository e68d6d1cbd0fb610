"""Bars as ticks, in the order they are played."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter

from market.domain.ticks import Tick, microseconds_of
from market.providers.replay.parse import Bar

SECOND = 1_000_000
TICKS_OF_A_BAR = 4


@dataclass(frozen=True, slots=True)
class Played:
    """One tick on the tape.

    Attributes:
        tick: what is published.
        bar: the bar it belongs to.
        place: its place in the bar, 0 to 3.
    """

    tick: Tick
    bar: Bar
    place: int


def make_tape(bars: Sequence[Bar]) -> Sequence[Sequence[Played]]:
    """Return the ticks of the bars by time, then by the bars' order, one slice for each distinct time of a tick.

    A bar becomes its open, the extreme nearer to it (the low where both are as near), the other extreme and its close,
    at its own time plus 0, 1, 2 and 3 seconds. Its volume is counted up in quarters. A publisher keeps order within an
    instrument only, so a slice of one moment is what keeps the order of moments across all of them.
    """
    played = sorted(chain.from_iterable(_with_order(bars)), key=itemgetter(0))
    moments = groupby((each for _, each in played), key=lambda each: each.tick.at_microseconds)
    return [list(slice_of_moment) for _, slice_of_moment in moments]


def _with_order(bars: Sequence[Bar]) -> Iterator[list[tuple[tuple[int, int, int], Played]]]:
    previous_closes = _previous_closes(bars)
    for order, bar in enumerate(bars):
        ticks = _ticks_of(bar, previous_closes[order])
        yield [((tick.at_microseconds, order, place), Played(tick, bar, place)) for place, tick in enumerate(ticks)]


def _previous_closes(bars: Sequence[Bar]) -> Sequence[float | None]:
    """Return the close of the bar before each bar, of the same instrument and by time; None for the first."""
    closes: list[float | None] = [None] * len(bars)
    newest: dict[str, float] = {}
    for order in sorted(range(len(bars)), key=lambda each: bars[each].at):
        bar = bars[order]
        closes[order] = newest.get(bar.instrument)
        newest[bar.instrument] = float(bar.close)
    return closes


def _ticks_of(bar: Bar, previous_close: float | None) -> list[Tick]:
    # Decimals: binary fractions would decide ties by their rounding.
    is_low_nearer = bar.open - bar.low <= bar.high - bar.open
    extremes = (bar.low, bar.high) if is_low_nearer else (bar.high, bar.low)
    begins_at = microseconds_of(bar.at)
    return [
        Tick(
            instrument=bar.instrument,
            last_price=float(price),
            at_microseconds=begins_at + place * SECOND,
            previous_close=previous_close,
            volume=bar.volume * (place + 1) // TICKS_OF_A_BAR,
        )
        for place, price in enumerate((bar.open, *extremes, bar.close))
    ]
