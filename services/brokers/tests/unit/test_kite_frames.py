"""Our reading of Kite's frames against the SDK's own parser, field by field."""

import struct
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kiteconnect import KiteTicker

from brokers.feed.kite_frames import FrameMalformed, Packet, read_frame, read_prices

SEGMENTS = {name: KiteTicker.EXCHANGE_MAP[name] for name in KiteTicker.EXCHANGE_MAP}
LENGTHS = (8, 28, 32, 44, 184)
U32 = st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 99, 2**31, 2**32 - 1]))
SEGMENT_NUMBERS = st.one_of(st.sampled_from(sorted(SEGMENTS.values())), st.integers(0, 255))


def frame_of(packets: Sequence[bytes]) -> bytes:
    return struct.pack(">H", len(packets)) + b"".join(struct.pack(">H", len(each)) + each for each in packets)


def packet_of(length: int, segment: int = 1, number: int = 408_065) -> bytes:
    """A packet whose every field differs from all others."""
    head = struct.pack(">I", number << 8 | segment)
    return head + bytes((7 * place + number) % 251 for place in range(length - len(head)))


@st.composite
def packets(draw: st.DrawFn, lengths: Sequence[int] = LENGTHS) -> bytes:
    length = draw(st.sampled_from(lengths))
    token = draw(st.integers(0, 2**24 - 1)) << 8 | draw(SEGMENT_NUMBERS)
    words = [token, *draw(st.lists(U32, min_size=length // 4 - 1, max_size=length // 4 - 1))]
    return struct.pack(f">{length // 4}I", *words)


def local(seconds: int | None) -> datetime | None:
    """What the SDK makes of a time: naive, in the zone of the process."""
    return None if seconds is None else datetime.fromtimestamp(seconds)  # noqa: DTZ006  # as the SDK does


def as_the_sdk_says_it(packet: Packet) -> dict[str, Any]:
    said: dict[str, Any] = {
        "tradable": packet.is_tradable,
        "mode": packet.mode.value,
        "instrument_token": packet.token,
        "last_price": packet.last_price,
    }
    if packet.close is None:
        return said
    said["ohlc"] = {"open": packet.open, "high": packet.high, "low": packet.low, "close": packet.close}
    said["change"] = packet.change_percent
    if packet.exchange_seconds is not None:
        said["exchange_timestamp"] = local(packet.exchange_seconds)
    if packet.volume_traded is None:
        return said
    said["last_traded_quantity"] = packet.last_traded_quantity
    said["average_traded_price"] = packet.average_traded_price
    said["volume_traded"] = packet.volume_traded
    said["total_buy_quantity"] = packet.total_buy_quantity
    said["total_sell_quantity"] = packet.total_sell_quantity
    if packet.depth is None:
        return said
    said["last_trade_time"] = local(packet.last_trade_seconds)
    said["oi"] = packet.open_interest
    said["oi_day_high"] = packet.open_interest_day_high
    said["oi_day_low"] = packet.open_interest_day_low
    said["depth"] = {side: [entry._asdict() for entry in getattr(packet.depth, side)] for side in ("buy", "sell")}
    return said


def sdk_reads(frame: bytes) -> list[dict[str, Any]]:
    parsed: list[dict[str, Any]] = KiteTicker("demo", "demo")._parse_binary(frame)
    return parsed


def columns_of(frame: bytes) -> list[tuple[Any, ...]]:
    return [
        (packet.token, packet.last_price, packet.close, packet.volume_traded, packet.exchange_seconds)
        for packet in read_frame(frame)
    ]


@pytest.mark.parametrize("segment", SEGMENTS)
@pytest.mark.parametrize("length", LENGTHS)
def test_every_kind_of_every_segment_is_read_as_the_sdk_reads_it(length: int, segment: str) -> None:
    frame = frame_of([packet_of(length, SEGMENTS[segment])])
    (expected,) = sdk_reads(frame)
    (packet,) = read_frame(frame)
    assert as_the_sdk_says_it(packet) == expected


@given(st.lists(packets(), max_size=6).map(frame_of))
@example(frame_of([packet_of(length, segment) for length in LENGTHS for segment in SEGMENTS.values()]))
def test_any_frame_is_read_as_the_sdk_reads_it(frame: bytes) -> None:
    assert [as_the_sdk_says_it(packet) for packet in read_frame(frame)] == sdk_reads(frame)


@given(st.sampled_from(LENGTHS).flatmap(lambda length: st.lists(packets([length]), min_size=1, max_size=20)))
def test_prices_of_packets_of_one_length_are_those_of_the_whole_reading(same: list[bytes]) -> None:
    assert read_prices(frame_of(same)) == columns_of(frame_of(same))


@given(st.lists(packets(), max_size=8).map(frame_of))
def test_prices_of_mixed_packets_are_those_of_the_whole_reading(frame: bytes) -> None:
    assert read_prices(frame) == columns_of(frame)


@pytest.mark.parametrize("segment", [1, 3, 6, 9, 12])
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("count", [1, 200])
def test_prices_hold_plain_numbers(length: int, segment: int, count: int) -> None:
    prices = read_prices(frame_of([packet_of(length, segment, number) for number in range(count)]))
    assert len(prices) == count
    for price in prices:
        assert [type(value) for value in price if value is not None] == [
            kind for kind, value in zip((int, float, float, int, int), price, strict=True) if value is not None
        ]


@pytest.mark.parametrize("empty", [b"", b"\x00", b"\x07", b"\x00\x00"])
def test_a_heartbeat_and_an_empty_frame_hold_nothing(empty: bytes) -> None:
    assert read_frame(empty) == []
    assert read_prices(empty) == []


@pytest.mark.parametrize("length", [0, 1, 4, 12, 36, 64, 185, 300])
def test_a_packet_of_an_unknown_length_is_left_out_and_its_neighbours_are_read(length: int) -> None:
    known = [packet_of(8, number=1), packet_of(184, number=2)]
    frame = frame_of([known[0], b"x" * length, known[1]])
    assert read_frame(frame) == read_frame(frame_of(known))
    assert read_prices(frame_of([b"x" * length] * 50)) == []


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("count", [1, 3, 40])
def test_a_frame_cut_anywhere_is_malformed(length: int, count: int) -> None:
    frame = frame_of([packet_of(length)] * count)
    for cut in {2, 3, 4, 9, len(frame) // 2, len(frame) - 1}:
        for read in (read_frame, read_prices):
            with pytest.raises(FrameMalformed, match=f"a frame of {cut} bytes ends before its packets do"):
                read(frame[:cut])


def test_a_frame_cut_in_a_packet_of_an_unknown_length_is_malformed() -> None:
    with pytest.raises(FrameMalformed):
        read_prices(frame_of([packet_of(8), b"x" * 300])[:-1])


def test_a_packet_of_the_last_price_alone_says_nothing_of_change_and_depth() -> None:
    (packet,) = read_frame(frame_of([packet_of(8)]))
    assert packet.change_percent is None
    assert packet.depth is None


@pytest.mark.parametrize("count", [1, 40])
def test_a_count_that_is_too_large_is_malformed(count: int) -> None:
    packed = frame_of([packet_of(184)] * count)
    with pytest.raises(FrameMalformed):
        read_prices(struct.pack(">H", count + 1) + packed[2:])


@pytest.mark.parametrize("declared", [0, 43, 45, 8, 65_535])
def test_a_length_that_lies_within_many_alike_is_not_believed(declared: int) -> None:
    whole = bytearray(frame_of([packet_of(44)] * 40))
    whole[2 + 46 * 20 : 2 + 46 * 20 + 2] = struct.pack(">H", declared)
    assert outcome(read_prices, bytes(whole)) == outcome(columns_of, bytes(whole))


@pytest.mark.parametrize("count", [1, 40])
def test_what_follows_the_last_packet_is_ignored(count: int) -> None:
    frame = frame_of([packet_of(44)] * count)
    assert read_prices(frame + b"more") == read_prices(frame)
    assert read_frame(frame + b"more") == read_frame(frame)


def outcome(read: Any, frame: bytes) -> Any:
    try:
        return read(frame)
    except FrameMalformed as error:
        return str(error)


@given(st.binary(max_size=600))
@example(struct.pack(">HH", 65_535, 0) + bytes(500))
@example(struct.pack(">HH", 0, 184) + bytes(400))
def test_no_bytes_do_more_than_be_malformed(frame: bytes) -> None:
    assert outcome(read_prices, frame) == outcome(columns_of, frame)
