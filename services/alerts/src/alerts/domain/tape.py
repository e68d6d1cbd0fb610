"""What was evaluated of each instrument with alerts: its last tick, and how low and high it came since they were armed.

Both cost memory by instrument, never by alert. A range begins at each arming, so that "since it was armed" can be
answered for alerts armed at different times; when an instrument has too many, the oldest run together, and what can
then no longer be told apart counts as not known.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from alerts.domain.alerts import AlertType, Freshness
from alerts.domain.positions import Position
from alerts.domain.ticks import TickBatch

MAX_RANGES = 16


@dataclass(frozen=True, slots=True)
class EvaluatedTick:
    """A tick that was compared with the alerts, and what identifies it.

    Attributes:
        price: the traded price, in the instrument's currency.
        at: when the price was made.
        source: names the source of the tick.
        publisher_id: names its publisher.
        epoch: the publisher's epoch.
        shard: the tick's shard.
        sequence: the batch's sequence in that shard and epoch.
        position: where the batch stands in the stream.
        freshness: how far its price could be relied on; None where that was not noted.
    """

    price: float
    at: datetime
    source: str
    publisher_id: str
    epoch: int
    shard: int
    sequence: int
    position: Position
    freshness: Freshness | None = None


@dataclass(frozen=True, slots=True)
class Closest:
    """The tick nearest to a target since a position, as far as ticks are remembered.

    Attributes:
        tick: the nearest that is remembered; None when there was none, or none is.
        is_known: whether all since the position are.
    """

    tick: EvaluatedTick | None
    is_known: bool


class _Header(NamedTuple):
    """A batch without its ticks, so that remembering one tick does not keep the others."""

    base_at: datetime
    source: str
    publisher_id: str
    epoch: int
    shard: int
    sequence: int
    position: Position
    freshness: Freshness


_Noted = tuple[float, int, _Header]  # a tick as cheaply as it can be kept: price, offset in microseconds, batch


class _Range:
    """The lowest and the highest tick after a position, up to the next range."""

    __slots__ = ("after", "high", "highest", "low", "lowest")

    def __init__(self, after: Position) -> None:
        self.after = after.packed
        self.lowest, self.highest = math.inf, -math.inf
        self.low: _Noted | None = None
        self.high: _Noted | None = None

    def take(self, noted: _Noted) -> None:
        price = noted[0]
        if price < self.lowest:
            self.lowest, self.low = price, noted
        if price > self.highest:
            self.highest, self.high = price, noted

    def merge(self, later: "_Range") -> None:
        for noted in (later.low, later.high):
            if noted is not None:
                self.take(noted)

    def extreme(self, alert_type: AlertType) -> EvaluatedTick | None:
        noted = self.low if alert_type is AlertType.BUY else self.high
        return None if noted is None else _tick_of(noted)


class _Track:
    """What is remembered of one instrument; its newest range at hand."""

    __slots__ = ("last", "newest", "older")

    def __init__(self, after: Position) -> None:
        self.last: _Noted | None = None
        self.newest = _Range(after)
        self.older: list[_Range] = []

    def begin(self, after: Position) -> None:
        if after.packed <= self.newest.after:
            return
        self.older.append(self.newest)
        self.newest = _Range(after)
        if len(self.older) >= MAX_RANGES:
            self.older[0].merge(self.older.pop(1))

    def take(self, noted: _Noted) -> None:
        """Let a tick widen the range it belongs to: a range can begin ahead of what was evaluated."""
        position = noted[2].position.packed
        for each in (self.newest, *reversed(self.older)):
            if position > each.after:
                each.take(noted)
                return


class Tape:
    """Remembers the last tick and the extremes of each instrument that alerts were armed for."""

    def __init__(self) -> None:
        self._tracks: dict[str, _Track] = {}

    def begin(self, instrument: str, after: Position) -> None:
        """Begin a range of an instrument's ticks after a position; nothing happens when one begins there or later."""
        track = self._tracks.get(instrument)
        if track is None:
            self._tracks[instrument] = _Track(after)
            return
        track.begin(after)

    def record(self, batch: TickBatch) -> None:
        """Remember what a batch brought, after it was evaluated; what is no price is left out."""
        header, position = _header_of(batch), batch.position.packed
        tracks = map(self._tracks.get, batch.instruments)
        is_sound = _are_prices(batch.prices)
        for track, price, offset in zip(tracks, batch.prices, batch.offsets_microseconds, strict=True):
            if track is None or not (is_sound or _is_price(price)):
                continue
            track.last = noted = (price, offset, header)
            newest = track.newest
            if newest.lowest <= price <= newest.highest:
                continue
            if position > newest.after:
                newest.take(noted)
            else:
                track.take(noted)

    def rewind(self, position: Position) -> None:
        """Forget the last ticks behind a position from where ticks are evaluated again: those come before them."""
        for track in self._tracks.values():
            if track.last is not None and track.last[2].position > position:
                track.last = None

    def last_at(self, instrument: str) -> datetime | None:
        """Return the time of an instrument's last tick; None when none is remembered."""
        track = self._tracks.get(instrument)
        return None if track is None or track.last is None else _tick_of(track.last).at

    def before(self, batch: TickBatch, tick: int) -> EvaluatedTick | None:
        """Return the tick of the same instrument in front of one of a batch that is not recorded yet."""
        instrument = batch.instruments[tick]
        for earlier in range(tick - 1, -1, -1):
            price = batch.prices[earlier]
            if batch.instruments[earlier] == instrument and _is_price(price):
                return _tick_of((price, batch.offsets_microseconds[earlier], _header_of(batch)))
        track = self._tracks.get(instrument)
        return None if track is None or track.last is None else _tick_of(track.last)

    def closest(self, instrument: str, alert_type: AlertType, armed: Position) -> Closest:
        """Return the lowest tick behind a position for a buy, the highest for a sell, of those that are remembered."""
        track = self._tracks.get(instrument)
        nearest: EvaluatedTick | None = None
        for each in () if track is None else (track.newest, *reversed(track.older)):
            extreme = each.extreme(alert_type)
            if extreme is not None and extreme.position <= armed:
                # What came behind the position in this range was hidden by what came in front of it.
                break
            nearest = _nearer(alert_type, nearest, extreme)
            if each.after <= armed.packed:
                return Closest(nearest, is_known=True)
        return Closest(nearest, is_known=False)


def _nearer(
    alert_type: AlertType, nearest: EvaluatedTick | None, earlier: EvaluatedTick | None
) -> EvaluatedTick | None:
    if nearest is None or earlier is None:
        return nearest or earlier
    is_nearer = earlier.price <= nearest.price if alert_type is AlertType.BUY else earlier.price >= nearest.price
    return earlier if is_nearer else nearest


def _is_price(price: float) -> bool:
    return 0 < price < math.inf


def _are_prices(prices: Sequence[float]) -> bool:
    """Say whether all are prices, at the cost of two passes in C; a sum that overflows only costs a closer look."""
    return math.isfinite(sum(prices)) and min(prices, default=1.0) > 0


def _header_of(batch: TickBatch) -> _Header:
    return _Header(
        batch.base_at,
        batch.source,
        batch.publisher_id,
        batch.epoch,
        batch.shard,
        batch.sequence,
        batch.position,
        batch.freshness,
    )


def _tick_of(noted: _Noted) -> EvaluatedTick:
    price, offset_microseconds, header = noted
    base_at, source, publisher_id, epoch, shard, sequence, position, freshness = header
    at = base_at + timedelta(microseconds=offset_microseconds)
    return EvaluatedTick(price, at, source, publisher_id, epoch, shard, sequence, position, freshness)
