"""The instruments of one venue of the sample market: their ticks, and how they stand at a moment."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from market.domain.ticks import Tick
from market.providers.reference.listing import Listed
from market.providers.sample.daily import KINDS_WITH_VOLUME, Steps
from market.providers.sample.noise import Hashes, Purpose, hashed, uniform
from market.providers.sample.stretches import Stretch, Stretches

KEPT_ROWS = 4

Members = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Standing:
    """How one instrument stands at a moment.

    Attributes:
        at: when its last price was made, in microseconds since 1970.
        last_price: in its currency, as are the other prices.
        previous_close: the session before's last price; None in the very first session.
        open: None between sessions, as are high, low and volume; volume too for what has none.
        high: the highest price of the session so far.
        low: the lowest price of the session so far.
        volume: units traded in the session so far.
    """

    at: int
    last_price: float
    previous_close: float | None
    open: float | None = None
    high: float | None = None
    low: float | None = None
    volume: int | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    """All of the venue's instruments at one tick number."""

    prices: list[float]
    previous_closes: list[float] | list[None]
    volumes: list[int | None]


class VenuePrices:
    """The prices of the instruments of one venue.

    Args:
        listing: its instruments.
        stretches: its time, with their prices.
        keys: the instruments' randomness.
        seed: what all randomness starts from.
        tick_interval: microseconds between two ticks of an instrument.
    """

    def __init__(
        self, listing: Sequence[Listed], stretches: Stretches, *, keys: Hashes, seed: int, tick_interval: int
    ) -> None:
        self.stretches = stretches
        self._ids = [each.instrument.id for each in listing]
        self._steps_per_unit = np.array([each.steps_per_unit for each in listing])
        self._has_volume = np.array([each.instrument.kind in KINDS_WITH_VOLUME for each in listing])
        self._tick_interval = tick_interval
        self._phases = phases_of(seed, keys, tick_interval)
        self._by_phase = np.argsort(self._phases, kind="stable")
        self._sorted_phases = self._phases[self._by_phase]
        self._rows: OrderedDict[tuple[int, int], _Row] = OrderedDict()

    def ticks_between(self, after: int, until: int) -> list[Tick]:
        """Return the ticks later than `after` and not later than `until`; those of one tick number by time."""
        newest, oldest = self.stretches.at(until), self.stretches.at(after)
        ticks: list[Tick] = []
        while newest is not None:
            ticks = self._ticks_of(newest, after, until) + ticks
            newest = None if oldest is None or newest.key == oldest.key else self.stretches.before(newest)
        return ticks

    def standings(self, members: Sequence[int], at: int) -> dict[int, Standing]:
        """Return how some instruments, by their position here, stand; those without a price yet are left out."""
        found: dict[int, Standing] = {}
        stretch = self.stretches.at(at)
        waiting = np.array(members, dtype=np.intp)
        # An instrument whose first tick of a stretch is still to come stands where the stretch before left it.
        while stretch is not None and len(waiting):
            numbers = self._newest_ticks(stretch, waiting, at)
            for number in np.unique(numbers[numbers >= 0]).tolist():
                found |= self._standings_at(stretch, number, waiting[numbers == number])
            waiting = waiting[numbers < 0]
            stretch = self.stretches.before(stretch)
        return found

    def _newest_ticks(self, stretch: Stretch, members: Members, at: int) -> npt.NDArray[np.int64]:
        """Return the number of each instrument's newest tick in the stretch; negative where there is none."""
        numbers = (at - stretch.begins_at - self._phases[members]) // self._tick_interval
        newest: npt.NDArray[np.int64] = np.minimum(numbers, stretch.path.ticks - 1)
        return newest

    def _standings_at(self, stretch: Stretch, number: int, members: Members) -> dict[int, Standing]:
        row = self._row(stretch, number)
        start = stretch.begins_at + number * self._tick_interval
        opens, highs, lows = self._session_so_far(stretch, number, members)
        columns = zip(members.tolist(), self._phases[members].tolist(), opens, highs, lows, strict=True)
        return {
            member: Standing(
                at=start + phase,
                last_price=row.prices[member],
                previous_close=row.previous_closes[member],
                open=first,
                high=high,
                low=low,
                volume=row.volumes[member],
            )
            for member, phase, first, high, low in columns
        }

    def _session_so_far(self, stretch: Stretch, number: int, members: Members) -> Sequence[Sequence[float]]:
        """Return opens, highs and lows; between sessions, those since the last one closed."""
        low, high = stretch.path.price_range(number, members)
        first = stretch.path.pivots[0][members]
        return [self._in_currency(each, members) for each in (first, high, low)]

    def _ticks_of(self, stretch: Stretch, after: int, until: int) -> list[Tick]:
        since, up_to = after - stretch.begins_at, until - stretch.begins_at
        first = max(0, since // self._tick_interval)
        last = min(up_to // self._tick_interval, stretch.path.ticks - 1)
        ticks: list[Tick] = []
        for number in range(first, last + 1):
            start = number * self._tick_interval
            begin, end = np.searchsorted(self._sorted_phases, [since - start, up_to - start], side="right")
            if begin < end:
                ticks += self._make_ticks(stretch, number, self._by_phase[begin:end])
        return ticks

    def _make_ticks(self, stretch: Stretch, number: int, members: Members) -> list[Tick]:
        row = self._row(stretch, number)
        start = stretch.begins_at + number * self._tick_interval
        return [
            Tick(self._ids[each], row.prices[each], start + phase, row.previous_closes[each], row.volumes[each])
            for each, phase in zip(members.tolist(), self._phases[members].tolist(), strict=True)
        ]

    def _row(self, stretch: Stretch, number: int) -> _Row:
        """Return all instruments at one tick number; the slices of its second share the work."""
        key = (stretch.begins_at, number)
        row = self._rows.get(key)
        if row is None:
            everyone = np.arange(len(self._ids))
            previous = stretch.previous_close
            row = self._rows[key] = _Row(
                prices=self._in_currency(stretch.path.prices(np.array([number]))[0], everyone),
                previous_closes=[None] * len(everyone) if previous is None else self._in_currency(previous, everyone),
                volumes=self._volumes(stretch, number),
            )
            while len(self._rows) > KEPT_ROWS:
                self._rows.popitem(last=False)
        return row

    def _volumes(self, stretch: Stretch, number: int) -> list[int | None]:
        traded = stretch.path.traded(number)
        if traded is None:
            return [None] * len(self._ids)
        return [volume if has else None for volume, has in zip(traded.tolist(), self._has_volume, strict=True)]

    def _in_currency(self, steps: Steps, members: Members) -> list[float]:
        """Return prices that print as decimals do: each is one correctly rounded division of whole numbers."""
        prices: list[float] = (steps / self._steps_per_unit[members]).tolist()
        return prices


def phases_of(seed: int, keys: Hashes, tick_interval: int) -> npt.NDArray[np.int64]:
    """Return how far into each interval, in microseconds, instruments with these keys tick."""
    phases: npt.NDArray[np.int64] = (uniform(hashed(seed, Purpose.PHASE, keys)) * tick_interval).astype(np.int64)
    return phases
