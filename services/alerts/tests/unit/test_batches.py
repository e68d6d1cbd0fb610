from datetime import UTC, datetime, timedelta

import pytest

from alerts.domain.alerts import Freshness
from alerts.domain.positions import Position
from alerts.feed.batches import BatchUnreadable, read_batch
from bourse.market.v1 import quotes_pb2, ticks_pb2

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
POSITION = Position(1, 7)


def make_message() -> ticks_pb2.TickBatch:
    message = ticks_pb2.TickBatch(
        publisher_id="sample-1",
        epoch=5,
        shard=15,
        sequence=9,
        source="sample",
        freshness=quotes_pb2.FRESHNESS_SIMULATED,
        ticks=[
            ticks_pb2.Tick(instrument="NSE:TCS", last_price=3500.5, offset_microseconds=0),
            ticks_pb2.Tick(instrument="NSE:INFY", last_price=1500.25, offset_microseconds=2_500),
        ],
    )
    message.base_time.FromDatetime(START)
    return message


def test_a_batch_is_read_as_columns() -> None:
    batch = read_batch(make_message().SerializeToString(), POSITION)
    assert (batch.position, batch.publisher_id, batch.epoch, batch.shard, batch.sequence) == (
        POSITION,
        "sample-1",
        5,
        15,
        9,
    )
    assert (batch.source, batch.freshness) == ("sample", Freshness.SIMULATED)
    assert list(zip(batch.instruments, batch.prices, strict=True)) == [("NSE:TCS", 3500.5), ("NSE:INFY", 1500.25)]
    assert batch.time_of(1) == START + timedelta(milliseconds=2.5)


def test_a_batch_without_ticks_can_be_read() -> None:
    message = make_message()
    del message.ticks[:]
    assert read_batch(message.SerializeToString(), POSITION).last_at == START


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("publisher_id", ""),
        ("publisher_id", "x" * 256),
        ("publisher_id", "a\x00b"),
        ("source", ""),
        ("source", "x" * 65),
        ("shard", 16),
        ("shard", -1),
        ("epoch", 0),
        ("sequence", 0),
        ("sequence", -5),
        ("freshness", 0),
        ("freshness", 77),
    ],
)
def test_a_batch_that_misstates_itself_is_unreadable(field: str, value: object) -> None:
    message = make_message()
    setattr(message, field, value)
    with pytest.raises(BatchUnreadable):
        read_batch(message.SerializeToString(), POSITION)


@pytest.mark.parametrize("offset", [-1, 2**62])
def test_a_time_out_of_range_is_unreadable(offset: int) -> None:
    message = make_message()
    message.ticks[1].offset_microseconds = offset
    with pytest.raises(BatchUnreadable):
        read_batch(message.SerializeToString(), POSITION)


@pytest.mark.parametrize("seconds", [-(10**10), 10**11, 2**62])
def test_a_base_time_out_of_range_is_unreadable(seconds: int) -> None:
    message = make_message()
    message.base_time.seconds = seconds
    with pytest.raises(BatchUnreadable):
        read_batch(message.SerializeToString(), POSITION)


def test_bytes_that_are_no_message_are_unreadable() -> None:
    with pytest.raises(BatchUnreadable):
        read_batch(b"\xff" * 20, POSITION)
