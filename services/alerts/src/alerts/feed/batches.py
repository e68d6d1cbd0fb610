"""Reads the batches of ticks that travel on NATS."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter

from google.protobuf.message import DecodeError

from alerts.domain.alerts import Freshness
from alerts.domain.positions import Position
from alerts.domain.ticks import SHARDS, TickBatch
from bourse.market.v1 import quotes_pb2, ticks_pb2

MAX_PUBLISHER_ID_LENGTH = 255
MAX_SOURCE_LENGTH = 64
# The time of a price lies between these, so that it can be stored and counted with everywhere.
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
MAX_OFFSET_MICROSECONDS = (LATEST - EARLIEST) // timedelta(microseconds=1)

_COLUMNS = attrgetter("instrument", "last_price", "offset_microseconds")
_FRESHNESS = {quotes_pb2.Freshness.Value(f"FRESHNESS_{each.value}"): each for each in Freshness}


class BatchUnreadable(ValueError):
    """The bytes are not a batch of ticks that can be evaluated."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"the batch cannot be read: {problem}")


def read_batch(
    payload: bytes, position: Position, *, shard: int | None = None, trace_parent: str | None = None
) -> TickBatch:
    """Read a `TickBatch` message as columns; its prices are not looked at.

    Args:
        payload: the message.
        position: where it stands in the stream.
        shard: the one it has to be of; None when any will do.
        trace_parent: the trace that it came in.

    Raises:
        BatchUnreadable: it is no such message, or what it says of itself cannot be.
    """
    try:
        message = ticks_pb2.TickBatch.FromString(payload)
    except DecodeError as error:
        raise BatchUnreadable("it is no TickBatch") from error
    _require_identity(message)
    if shard not in (None, message.shard):
        raise BatchUnreadable("it is not of its subject's shard")
    freshness = _FRESHNESS.get(message.freshness)
    if freshness is None:
        raise BatchUnreadable("it does not say how fresh it is")
    # One pass: each makes an object of every tick anew.
    ticks = map(_COLUMNS, message.ticks)
    instruments, prices, offsets = zip(*ticks, strict=True) if message.ticks else ((), (), ())
    return TickBatch(
        position=position,
        publisher_id=message.publisher_id,
        epoch=message.epoch,
        shard=message.shard,
        sequence=message.sequence,
        source=message.source,
        freshness=freshness,
        base_at=_base_of(message, offsets),
        instruments=instruments,
        prices=prices,
        offsets_microseconds=offsets,
        trace_parent=trace_parent,
    )


def _require_identity(message: ticks_pb2.TickBatch) -> None:
    if not _is_name(message.publisher_id, MAX_PUBLISHER_ID_LENGTH):
        raise BatchUnreadable("it does not name its publisher")
    if not _is_name(message.source, MAX_SOURCE_LENGTH):
        raise BatchUnreadable("it does not name its source")
    if not 0 <= message.shard < SHARDS:
        raise BatchUnreadable("there is no such shard")
    if message.epoch < 1 or message.sequence < 1:
        raise BatchUnreadable("epoch and sequence count from 1")


def _is_name(text: str, max_length: int) -> bool:
    return 0 < len(text) <= max_length and text.isprintable()


def _base_of(message: ticks_pb2.TickBatch, offsets: Sequence[int]) -> datetime:
    latest = max(offsets, default=0)
    if min(offsets, default=0) < 0 or latest > MAX_OFFSET_MICROSECONDS:
        raise BatchUnreadable("its offsets are out of range")
    try:
        base_at = message.base_time.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise BatchUnreadable("its base time is no time") from error
    if base_at < EARLIEST or base_at + timedelta(microseconds=latest) > LATEST:
        raise BatchUnreadable("its time is out of range")
    return base_at
