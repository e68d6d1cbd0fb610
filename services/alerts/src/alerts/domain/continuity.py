"""Whether the ticks that were evaluated are all there were: what is missing becomes a recorded interval."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from alerts.domain.alerts import Freshness
from alerts.domain.positions import NOWHERE, Position
from alerts.domain.ticks import TickBatch

FIRST_STREAM = 1
# Who set an alert elsewhere knows the time of its own last tick, and a tick is stored a moment after it was made.
CLOCKS_APART = timedelta(seconds=1)
# Of one shard: what many publishers begin, and what one begins that is started again and again.
MAX_EPOCHS = 256
MAX_EPOCHS_OF_PUBLISHER = 8
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
        to_at: the moment from which all was evaluated again, in the ticks' time; never before `from_at`.
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
    """The last batch seen of one epoch of a publisher's shard.

    Attributes:
        publisher_id: names the publisher.
        shard: the part of the instruments it is about.
        epoch: one start of the publisher, or one turn of it.
        sequence: the highest there was.
        last_at: the time of the last tick of that batch.
        source: the source of its prices; None where that was not recorded.
        freshness: how far they can be relied on; None where that was not recorded.
    """

    publisher_id: str
    shard: int
    epoch: int
    sequence: int
    last_at: datetime
    source: str | None = None
    freshness: Freshness | None = None


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
    next_sequence: int
    last_at: datetime
    source: str | None = None
    freshness: Freshness | None = None
    holes: list[range] = field(default_factory=list)

    def take(self, batch: TickBatch) -> None:
        self.next_sequence, self.last_at = batch.sequence + 1, batch.last_at
        self.source, self.freshness = batch.source, batch.freshness

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


_Key = tuple[str, int, int]  # publisher, shard, epoch


class Continuity:
    """Follows the sequence of every publisher, shard and epoch, and notes what is missing.

    Sequences count from 1 in each epoch. A publisher that does not know what became of all that was published before
    an epoch leaves the first sequence out, and so makes a hole of what nobody can know. Epochs are only told apart,
    never compared: they are times of day, and a clock that is set back makes a later one the lower.
    """

    def __init__(self, began_at: datetime, seen: Iterable[PublisherShard] = ()) -> None:
        """Go on from what was seen.

        Args:
            began_at: when ticks were evaluated for the first time ever; what was sent before then is not missing, for
                there was no alert.
            seen: what `seen` said earlier, in that order.
        """
        self._began_at = began_at
        self._tracks: OrderedDict[_Key, _Track] = OrderedDict(
            (
                (each.publisher_id, each.shard, each.epoch),
                _Track(each.sequence + 1, each.last_at, each.source, each.freshness),
            )
            for each in seen
        )

    @property
    def seen(self) -> Sequence[PublisherShard]:
        """Return the last batch seen of each epoch of a publisher's shard, those of which one came last at the end."""
        return tuple(
            PublisherShard(*key, track.next_sequence - 1, track.last_at, track.source, track.freshness)
            for key, track in self._tracks.items()
        )

    def admit(self, batch: TickBatch, evaluated_until: datetime) -> Admission:
        """Take a batch into account.

        Args:
            batch: the next batch of the stream.
            evaluated_until: the time of the last tick of this shard, of any publisher.
        """
        key = (batch.publisher_id, batch.shard, batch.epoch)
        track = self._tracks.get(key) or self._first_track(batch, evaluated_until)
        if batch.sequence < track.next_sequence:
            return Admission(is_new=track.fills_hole(batch.sequence))
        hole, since = range(track.next_sequence, batch.sequence), track.last_at
        track.take(batch)
        self._remember(key, track)
        if not hole:
            return Admission(is_new=True)
        track.miss(hole)
        # To the last tick of the batch: the first can be an instrument's that had not traded for long.
        until = max(batch.last_at, since)
        missing = NotEvaluated(Reason.SEQUENCE_JUMP, since, until, batch.shard, batch.publisher_id)
        return Admission(is_new=True, missing=missing)

    def _first_track(self, batch: TickBatch, evaluated_until: datetime) -> _Track:
        since = self._last_before(batch)
        if since is not None:
            return _Track(1, since)
        # Of a first batch from later nobody knows whether what is missing in front of it was sent before.
        was_sent_before = batch.first_at <= self._began_at
        return _Track(batch.sequence if was_sent_before else 1, evaluated_until)

    def _last_before(self, batch: TickBatch) -> datetime | None:
        """Return the last tick of what an epoch may go on from; None when there was none.

        What a source says at a freshness is published by one process at a time. Another that takes over has another
        name; what the first had lost by then lies behind the first's last batch.
        """
        tracks = [(each[0], track) for each, track in self._tracks.items() if each[1] == batch.shard]
        own = [track for name, track in tracks if name == batch.publisher_id]
        of_source = [track for _, track in tracks if track.source == batch.source]
        alike = [track for track in of_source if track.freshness == batch.freshness]
        return max((track.last_at for track in own + alike or of_source), default=None)

    def _remember(self, key: _Key, track: _Track) -> None:
        if key not in self._tracks:
            self._make_room(key)
        self._tracks[key] = track
        self._tracks.move_to_end(key)

    def _make_room(self, key: _Key) -> None:
        """Forget what was silent longest: of the publisher when it has too many epochs, else of all."""
        of_publisher = [each for each in self._tracks if each[:2] == key[:2]]
        if len(of_publisher) >= MAX_EPOCHS_OF_PUBLISHER:
            del self._tracks[of_publisher[0]]
        elif len(self._tracks) >= MAX_EPOCHS:
            self._tracks.popitem(last=False)
