"""Whether the ticks that were evaluated are all there were: what is missing becomes a recorded interval."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from alerts.domain.positions import NOWHERE, Position
from alerts.domain.ticks import TickBatch

FIRST_STREAM = 1
# Who set an alert elsewhere knows the time of its own last tick, and a tick is stored a moment after it was made.
CLOCKS_APART = timedelta(seconds=1)
MAX_PUBLISHERS = 256  # of one shard
MAX_REMEMBERED_HOLES = 64


class Reason(StrEnum):
    """Why ticks were not evaluated."""

    STREAM_REPLACED = "stream_replaced"
    STREAM_TRIMMED = "stream_trimmed"
    SEQUENCE_JUMP = "sequence_jump"
    BATCH_UNREADABLE = "batch_unreadable"
    NOT_ARMED = "not_armed"


@dataclass(frozen=True, slots=True)
class NotEvaluated:
    """A stretch of time in which ticks may have been missed.

    Attributes:
        reason: why.
        from_at: the last moment that was evaluated, in the ticks' time.
        to_at: the first moment that was evaluated again, in the ticks' time.
        shard: the part of the instruments it is about; None for all.
        publisher_id: whose ticks are missing; None when that is not known.
    """

    reason: Reason
    from_at: datetime
    to_at: datetime
    shard: int | None = None
    publisher_id: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a shard stands, whoever evaluates it.

    Attributes:
        evaluated_at: the time of the last tick it was evaluated up to, in the ticks' time, as it was saved last; None
            when it never was.
        is_held: whether somebody living holds it.
    """

    evaluated_at: datetime | None
    is_held: bool


@dataclass(frozen=True, slots=True)
class StreamView:
    """What a stream of ticks holds: `first` to `last` of its `ordinal`; `first` is `last + 1` when it is empty.

    Attributes:
        is_settled: whether it is sure that it holds no more; else there may be more behind `last` already.
    """

    ordinal: int
    first: int
    last: int
    is_settled: bool = True

    @property
    def end(self) -> Position:
        """Return the position behind everything it holds."""
        return Position(self.ordinal, self.last)


@dataclass(frozen=True, slots=True)
class Resumption:
    """Where to go on: after `position`, having lost what `reason` says; None when nothing was lost."""

    position: Position
    reason: Reason | None


def resume(evaluated: Position, stream: StreamView) -> Resumption:
    """Say where to go on in `stream` after everything up to `evaluated` was seen."""
    oldest_held = Position(stream.ordinal, max(stream.first - 1, 0))
    if evaluated == NOWHERE and oldest_held == Position(FIRST_STREAM, 0):
        return Resumption(oldest_held, None)
    if evaluated.stream != stream.ordinal:
        return Resumption(oldest_held, Reason.STREAM_REPLACED)
    if evaluated < oldest_held:
        return Resumption(oldest_held, Reason.STREAM_TRIMMED)
    return Resumption(evaluated, None)


@dataclass(frozen=True, slots=True)
class PublisherShard:
    """The last batch seen of one publisher's shard."""

    publisher_id: str
    shard: int
    epoch: int
    sequence: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Admission:
    """What is to be done with a batch.

    Attributes:
        is_new: whether to evaluate it; a repetition is not, for an alert armed in between would fire on an old price.
        missing: what was lost in front of it; None when nothing was.
    """

    is_new: bool
    missing: NotEvaluated | None = None


@dataclass(slots=True)
class _Track:
    epoch: int
    next_sequence: int
    last_at: datetime
    holes: list[range] = field(default_factory=list)

    def miss(self, hole: range) -> None:
        self.holes.append(hole)
        del self.holes[:-MAX_REMEMBERED_HOLES]

    def fills_hole(self, sequence: int) -> bool:
        """Say whether a batch that comes late is one that was missed, and no longer miss it."""
        for index, hole in enumerate(self.holes):
            if sequence in hole:
                parts = (range(hole.start, sequence), range(sequence + 1, hole.stop))
                self.holes[index : index + 1] = [part for part in parts if part]
                return True
        return False


class Continuity:
    """Follows the sequence of every publisher and shard, and notes what is missing."""

    def __init__(self, began_at: datetime, seen: Iterable[PublisherShard] = ()) -> None:
        """Go on from what was seen.

        Args:
            began_at: when ticks were evaluated for the first time ever; what was sent before then is not missing, for
                there was no alert.
            seen: what `seen` said earlier.
        """
        self._began_at = began_at
        self._tracks = OrderedDict(
            ((each.publisher_id, each.shard), _Track(each.epoch, each.sequence + 1, each.last_at)) for each in seen
        )

    @property
    def seen(self) -> Sequence[PublisherShard]:
        """Return the last batch seen of each publisher's shard."""
        return tuple(
            PublisherShard(publisher_id, shard, track.epoch, track.next_sequence - 1, track.last_at)
            for (publisher_id, shard), track in self._tracks.items()
        )

    def admit(self, batch: TickBatch, evaluated_until: datetime) -> Admission:
        """Take a batch into account.

        Args:
            batch: the next batch of the stream.
            evaluated_until: the time of the last tick of this shard, of any publisher.
        """
        key = (batch.publisher_id, batch.shard)
        track = self._tracks.get(key) or self._first_track(batch, evaluated_until)
        if batch.epoch > track.epoch:
            track = _Track(batch.epoch, 1, track.last_at)
        if batch.epoch < track.epoch:
            return Admission(is_new=True)
        if batch.sequence < track.next_sequence:
            return Admission(is_new=track.fills_hole(batch.sequence))
        hole, since = range(track.next_sequence, batch.sequence), track.last_at
        track.next_sequence, track.last_at = batch.sequence + 1, batch.last_at
        self._remember(key, track)
        if not hole:
            return Admission(is_new=True)
        track.miss(hole)
        missing = NotEvaluated(Reason.SEQUENCE_JUMP, since, batch.first_at, batch.shard, batch.publisher_id)
        return Admission(is_new=True, missing=missing)

    def _first_track(self, batch: TickBatch, evaluated_until: datetime) -> _Track:
        # Of a first batch from later nobody knows whether what is missing in front of it was sent before.
        was_sent_before = batch.first_at <= self._began_at
        return _Track(batch.epoch, batch.sequence if was_sent_before else 1, evaluated_until)

    def _remember(self, key: tuple[str, int], track: _Track) -> None:
        self._tracks[key] = track
        self._tracks.move_to_end(key)
        while len(self._tracks) > MAX_PUBLISHERS:
            self._tracks.popitem(last=False)
