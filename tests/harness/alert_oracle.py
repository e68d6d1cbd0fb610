"""What should have fired and what is recorded as not evaluated, judged from outside; imports nothing of alerts.

A tick fires an alert when it is the first in the stream's order, behind the place where the alert was armed, whose
price reaches the alert's. The second copy of a batch holds no ticks. A tick may be without consequence only if it was
lost, or came behind a later one of its shard, or lay in a stream that died; and then a recorded interval covers it.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

MAX_PROBLEMS = 5

BatchKey = tuple[str, int, int, int]


class Place(NamedTuple):
    """A place in the lives of the stream, which are numbered as alerts numbers them."""

    stream: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as it was published, or as a stream held it; all its ticks are of the same moment."""

    publisher_id: str
    epoch: int
    shard: int
    sequence: int
    at: datetime
    ticks: tuple[tuple[str, Decimal], ...]

    @property
    def key(self) -> BatchKey:
        return self.publisher_id, self.epoch, self.shard, self.sequence


@dataclass(frozen=True, slots=True)
class HeldBatch:
    """One message of the stream.

    Attributes:
        place: where it stands.
        batch: what it holds.
        is_repeat: the stream has held this batch before.
        is_late: the stream has held a later batch of its shard before.
    """

    place: Place
    batch: Batch
    is_repeat: bool
    is_late: bool


@dataclass(frozen=True, slots=True)
class ArmedAlert:
    """An alert as the database has it; `armed` is None as long as nobody watches for it."""

    id: int
    generation: int
    type: str
    instrument: str
    price: Decimal
    armed: Place | None
    has_fired: bool


@dataclass(frozen=True, slots=True)
class FireRow:
    """A fire as the database has it."""

    alert_id: int
    generation: int
    type: str
    instrument: str
    price: Decimal
    fired_at: datetime
    fired_price: Decimal
    batch: BatchKey
    place: Place


@dataclass(frozen=True, slots=True)
class Interval:
    """A recorded stretch without evaluation; None for all shards or all publishers."""

    reason: str
    from_at: datetime
    to_at: datetime
    shard: int | None
    publisher_id: str | None

    def covers(self, batch: Batch) -> bool:
        return self.is_about(batch) and self.from_at <= batch.at <= self.to_at

    def is_about(self, batch: Batch) -> bool:
        return self.shard in (None, batch.shard) and self.publisher_id in (None, batch.publisher_id)


@dataclass(frozen=True, slots=True)
class Death:
    """The end of a life of the stream.

    Attributes:
        stream: which life; 0 when nobody had numbered it.
        evaluated_at: the earliest time up to which everything was recorded as evaluated when it ended.
    """

    stream: int
    evaluated_at: datetime


@dataclass(slots=True)
class Records:
    """What alerts has recorded."""

    alerts: Sequence[ArmedAlert]
    fires: Sequence[FireRow]
    intervals: Sequence[Interval]


@dataclass(slots=True)
class Verdict:
    """What was found.

    Attributes:
        crossings: alerts that a held tick reaches.
        fired: of those, the ones that fired at exactly that tick.
        excused: ticks without consequence that a recorded interval covers.
        passed_over: batches that came late and were not evaluated, though the stream held them to the end.
        problems: what should not be.
    """

    crossings: int = 0
    fired: int = 0
    excused: int = 0
    passed_over: set[BatchKey] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def object_to(self, what: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(what)


def held_batches(lives: Iterable[Sequence[tuple[Place, Batch]]]) -> list[HeldBatch]:
    """Say of every message of the stream's lives, in their order, whether it repeats another or comes late."""
    seen: set[BatchKey] = set()
    newest: dict[tuple[str, int, int], int] = {}
    held: list[HeldBatch] = []
    for life in lives:
        for place, batch in life:
            track = batch.key[:3]
            is_late = batch.sequence < newest.get(track, 0)
            held.append(HeldBatch(place, batch, batch.key in seen, is_late))
            seen.add(batch.key)
            newest[track] = max(newest.get(track, 0), batch.sequence)
    return held


def reaches(kind: str, price: Decimal, target: Decimal) -> bool:
    """Say whether a price fires a buy or a sell."""
    return price <= target if kind == "buy" else price >= target


class Oracle:
    """Judges records against what was published and what the stream held."""

    def __init__(self, sent: Sequence[Batch], held: Sequence[HeldBatch], deaths: Sequence[Death]) -> None:
        self._sent = sent
        self._held = held
        self._deaths = deaths
        self._dead = {death.stream for death in deaths}
        self._ticks: defaultdict[str, list[tuple[HeldBatch, Decimal]]] = defaultdict(list)
        self._copies: defaultdict[BatchKey, list[HeldBatch]] = defaultdict(list)
        for message in held:
            self._copies[message.batch.key].append(message)
            for instrument, price in message.batch.ticks:
                self._ticks[instrument].append((message, price))

    def judge(self, records: Records) -> Verdict:
        """Compare one for one."""
        verdict = Verdict()
        fires: dict[tuple[int, int], FireRow] = {(each.alert_id, each.generation): each for each in records.fires}
        if len(fires) != len(records.fires):
            verdict.object_to("an arming has fired twice")
        intervals = _by_shard(records.intervals)
        for alert in records.alerts:
            self._judge_alert(alert, fires.pop((alert.id, alert.generation), None), intervals, verdict)
        for fire in fires.values():
            verdict.object_to(f"{fire} is of no alert")
        self._judge_losses(intervals, verdict)
        for interval in records.intervals:
            self._judge_width(interval, verdict)
        return verdict

    def _judge_alert(
        self,
        alert: ArmedAlert,
        fire: FireRow | None,
        intervals: Mapping[int, Sequence[Interval]],
        verdict: Verdict,
    ) -> None:
        if alert.has_fired != (fire is not None):
            verdict.object_to(f"{alert} and {fire} contradict each other")
        if alert.armed is None:
            verdict.object_to(f"{alert} was never armed")
            return
        expected = next(self._reaching(alert, alert.armed), None)
        verdict.crossings += expected is not None
        for message, price in self._reaching(alert, alert.armed):
            if fire is not None and _is_fire_of(fire, alert, message, price):
                verdict.fired += expected is not None and message is expected[0]
                return
            if not self._is_excused(message, intervals):
                verdict.object_to(f"{alert} was reached by {price} of {message}, and {self._told(fire)}")
                return
            verdict.excused += 1
            if message.place.stream not in self._dead:
                verdict.passed_over.add(message.batch.key)
        if fire is not None and not self._is_fire_of_spared_copy(fire, alert, intervals):
            verdict.object_to(f"{alert} was reached by no tick, and {self._told(fire)}")

    def _told(self, fire: FireRow | None) -> str:
        """Say at which message an alert fired, and whether that repeats another."""
        if fire is None:
            return "has not fired"
        message = next((each for each in self._copies.get(fire.batch, ()) if each.place == fire.place), None)
        what = "nothing held" if message is None else "a repetition" if message.is_repeat else "another tick"
        return f"fired on {what}: {fire}"

    def _reaching(self, alert: ArmedAlert, armed: Place) -> Iterator[tuple[HeldBatch, Decimal]]:
        """Yield the ticks that reach an alert, as the stream held them."""
        for message, price in self._ticks[alert.instrument]:
            if message.place > armed and not message.is_repeat and reaches(alert.type, price, alert.price):
                yield message, price

    def _is_excused(self, message: HeldBatch, intervals: Mapping[int, Sequence[Interval]]) -> bool:
        can_be = message.is_late or message.place.stream in self._dead or message.place.stream == 0
        return can_be and any(each.covers(message.batch) for each in intervals.get(message.batch.shard, ()))

    def _is_fire_of_spared_copy(
        self, fire: FireRow, alert: ArmedAlert, intervals: Mapping[int, Sequence[Interval]]
    ) -> bool:
        """Say whether it fired on the second copy of a batch whose first was not evaluated.

        That the first died with its stream, unread, has to be recorded only where no copy came behind it.
        """
        copies = self._copies.get(fire.batch, [])
        if not copies or not (copies[0].place.stream in self._dead or self._is_excused(copies[0], intervals)):
            return False
        return any(
            message.place > (alert.armed or message.place) and _is_fire_of(fire, alert, message, price)
            for message in copies[1:]
            for instrument, price in message.batch.ticks
            if instrument == alert.instrument and reaches(alert.type, price, alert.price)
        )

    def _judge_losses(self, intervals: Mapping[int, Sequence[Interval]], verdict: Verdict) -> None:
        """What was published and never held lies in an interval, whether or not it would have fired anything."""
        for batch in self._sent:
            if batch.key in self._copies:
                continue
            if not any(each.covers(batch) for each in intervals.get(batch.shard, ())):
                verdict.object_to(f"{batch.key} at {batch.at} was lost, and no interval says so")
            verdict.excused += 1

    def _judge_width(self, interval: Interval, verdict: Verdict) -> None:
        """An interval has a cause, and reaches no further than from the last tick before it to the first behind it."""
        if interval.reason == "not_armed":
            return
        if interval.reason == "sequence_jump":
            self._judge_jump(interval, verdict)
            return
        # What came between two deaths may have been lost unread by the second.
        spans = itertools.combinations_with_replacement(self._deaths, 2)
        if interval.reason != "stream_replaced" or not any(self._is_due_to(interval, *span) for span in spans):
            behind = {death.stream: self._first_behind(interval, death) for death in self._deaths}
            verdict.object_to(f"{interval} is wider than its cause; deaths {self._deaths}, first behind {behind}")

    def _judge_jump(self, interval: Interval, verdict: Verdict) -> None:
        inside = [
            message
            for message in self._held
            if interval.is_about(message.batch) and interval.from_at < message.batch.at < interval.to_at
        ]
        needless = [each for each in inside if not each.is_late and each.place.stream not in self._dead]
        has_cause = inside or any(interval.covers(each) for each in self._sent if each.key not in self._copies)
        if needless or not has_cause:
            verdict.object_to(f"{interval} has no cause, or holds ticks that were there: {needless[:1]}")

    def _is_due_to(self, interval: Interval, first: Death, last: Death) -> bool:
        is_over = interval.to_at <= max(self._first_behind(interval, last).values(), default=interval.from_at)
        is_since = first.evaluated_at <= interval.from_at or self._came_late(interval.from_at, interval)
        return is_since and is_over

    def _came_late(self, at: datetime, interval: Interval) -> bool:
        """Say whether a batch of that time came behind later ones, so that it may be what was evaluated last."""
        latest: dict[int, datetime] = {}
        for message in self._held:
            before = latest.get(message.place.stream, message.batch.at)
            if message.batch.at == at < before and interval.is_about(message.batch):
                return True
            latest[message.place.stream] = max(before, message.batch.at)
        return False

    def _first_behind(self, interval: Interval, death: Death) -> Mapping[int, datetime]:
        """Return how late it was in the stream when the first batch of each shard came behind a death.

        Of the shards that an interval is about. A batch that comes late is told of by others that came before it.
        """
        first_behind: dict[int, datetime] = {}
        latest_at = interval.from_at
        for message in self._held:
            if message.place.stream <= death.stream:
                continue
            latest_at = max(latest_at, message.batch.at)
            if interval.is_about(message.batch):
                first_behind.setdefault(message.batch.shard, latest_at)
        return first_behind


def _by_shard(intervals: Iterable[Interval]) -> Mapping[int, Sequence[Interval]]:
    by_shard: defaultdict[int, list[Interval]] = defaultdict(list)
    for interval in intervals:
        for shard in range(16) if interval.shard is None else (interval.shard,):
            by_shard[shard].append(interval)
    return by_shard


def _is_fire_of(fire: FireRow, alert: ArmedAlert, message: HeldBatch, price: Decimal) -> bool:
    """Say whether a fire is that of an alert by a tick, in everything it says."""
    return (
        (fire.type, fire.instrument, fire.price) == (alert.type, alert.instrument, alert.price)
        and (fire.place, fire.batch) == (message.place, message.batch.key)
        and fire.fired_price == price
        and fire.fired_at == message.batch.at
    )
