"""Decodes the binary frames of Kite's ticker: big-endian, a count, then packets that each say how long they are.

A packet's length says what it holds, the low byte of its token the segment, and that what its prices are divided by.
`read_frame` reads everything, `read_prices` what ticks are made of, at once where all packets are of one length.
"""

import struct
from collections.abc import Iterable
from enum import StrEnum
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np

INDICES = 9

_PRICE_DIVISOR = 100.0
_DIVISORS = {3: 10_000_000.0, 6: 10_000.0, 12: 10_000.0}
_ALL_DIVISORS = np.array([_DIVISORS.get(segment, _PRICE_DIVISOR) for segment in range(256)])

_U16 = struct.Struct(">H")
_HEAD = struct.Struct(">HH")
_LTP_FIELDS = struct.Struct(">2I")
# The fourth price of an index is a change that its client works out itself: it is jumped over.
_INDEX_QUOTE_FIELDS = struct.Struct(">6I4x")
_INDEX_FULL_FIELDS = struct.Struct(">6I4xI")
_QUOTE_FIELDS = struct.Struct(">11I")
_FULL_FIELDS = struct.Struct(">16I120s")
_LEVEL = struct.Struct(">IIH2x")
_LEVELS = 5

# An array takes as long to make as a few packets take to read one by one.
_FEWEST_RECORDS_BYTES = 100
Records = np.ndarray[Any, np.dtype[np.void]]

# What a tick is made of: a `Packet`'s token, last_price, close, volume_traded and exchange_seconds.
# A bare tuple, since a named one takes three times as long as all the rest.
Price = tuple[int, float, float | None, int | None, int | None]


class FrameMalformed(ValueError):
    """A frame is shorter than it says."""

    def __init__(self, length: int) -> None:
        super().__init__(f"a frame of {length} bytes ends before its packets do")


class Mode(StrEnum):
    """How much a packet holds, by Kite's names."""

    LTP = "ltp"
    QUOTE = "quote"
    FULL = "full"


class DepthEntry(NamedTuple):
    """What waits at one price: how many units, at which price, in how many orders."""

    quantity: int
    price: float
    orders: int


class Depth(NamedTuple):
    """The five best bids and the five best offers."""

    buy: tuple[DepthEntry, ...]
    sell: tuple[DepthEntry, ...]


class Packet(NamedTuple):
    """What Kite says of one instrument; None stands for what its mode and segment do not tell.

    Attributes:
        token: Kite's number of the instrument.
        mode: how much this packet holds.
        last_price: the last traded price, or an index's level.
        open, high, low: the session's, 0 before its first trade.
        close: the previous session's close, 0 where there is none.
        last_traded_quantity: units of the last trade.
        average_traded_price: the session's.
        volume_traded: units traded in the session.
        total_buy_quantity: units that wait to be bought.
        total_sell_quantity: units that wait to be sold.
        last_trade_seconds: when the last trade was, in seconds since 1970 UTC.
        open_interest, open_interest_day_high, open_interest_day_low: contracts, 0 for what has none.
        exchange_seconds: when the exchange sent it, in seconds since 1970 UTC.
        book: the order book as it came, which `depth` reads; reading it takes longer than all the rest.
    """

    token: int
    mode: Mode
    last_price: float
    open: float | None = None
    high: float | None = None
    low: float | None = None
    close: float | None = None
    last_traded_quantity: int | None = None
    average_traded_price: float | None = None
    volume_traded: int | None = None
    total_buy_quantity: int | None = None
    total_sell_quantity: int | None = None
    last_trade_seconds: int | None = None
    open_interest: int | None = None
    open_interest_day_high: int | None = None
    open_interest_day_low: int | None = None
    exchange_seconds: int | None = None
    book: bytes | None = None

    @property
    def is_tradable(self) -> bool:
        """Say whether it can be traded; an index cannot."""
        return self.token & 0xFF != INDICES

    @property
    def change_percent(self) -> float | None:
        """Return the change from the previous close in percent of it; 0 without a close, None in mode ltp."""
        if self.close is None:
            return None
        return (self.last_price - self.close) * 100 / self.close if self.close else 0.0

    @property
    def depth(self) -> Depth | None:
        """Return the order book; None where the packet holds none."""
        if self.book is None:
            return None
        divisor = _DIVISORS.get(self.token & 0xFF, _PRICE_DIVISOR)
        levels = [DepthEntry(units, price / divisor, orders) for units, price, orders in _LEVEL.iter_unpack(self.book)]
        return Depth(tuple(levels[:_LEVELS]), tuple(levels[_LEVELS:]))


def read_prices(frame: bytes) -> list[Price]:
    """Return what ticks are made of, in order, of the packets that `read_frame` returns.

    Raises:
        FrameMalformed: as `read_frame` does.
    """
    records = _records(frame)
    if records is not None:
        return _prices_of(records)
    return [
        (packet.token, packet.last_price, packet.close, packet.volume_traded, packet.exchange_seconds)
        for packet in read_frame(frame)
    ]


def read_frame(frame: bytes) -> list[Packet]:
    """Return a frame's packets in order, without those of a length that means nothing; what follows them is ignored.

    A heartbeat, which is one byte, holds none.

    Raises:
        FrameMalformed: it ends before the packets it announces do; nothing in it can be relied on then.
    """
    if len(frame) < _U16.size:
        return []
    packets = []
    offset = _U16.size
    length_at = _U16.unpack_from
    try:
        for _ in range(length_at(frame)[0]):
            (length,) = length_at(frame, offset)
            offset += _U16.size
            read = _READERS.get(length)
            if read is not None:
                packets.append(read(frame, offset))
            offset += length
    except struct.error as error:
        raise FrameMalformed(len(frame)) from error
    if offset > len(frame):
        raise FrameMalformed(len(frame))
    return packets


def _read_ltp(frame: bytes, offset: int) -> Packet:
    token, last_price = _LTP_FIELDS.unpack_from(frame, offset)
    return Packet(token, Mode.LTP, last_price / _DIVISORS.get(token & 0xFF, _PRICE_DIVISOR))


def _read_index_quote(frame: bytes, offset: int) -> Packet:
    token, last_price, high, low, open_, close = _INDEX_QUOTE_FIELDS.unpack_from(frame, offset)
    divisor = _DIVISORS.get(token & 0xFF, _PRICE_DIVISOR)
    return Packet(
        token, Mode.QUOTE, last_price / divisor, open_ / divisor, high / divisor, low / divisor, close / divisor
    )


def _read_index_full(frame: bytes, offset: int) -> Packet:
    token, last_price, high, low, open_, close, exchange_seconds = _INDEX_FULL_FIELDS.unpack_from(frame, offset)
    divisor = _DIVISORS.get(token & 0xFF, _PRICE_DIVISOR)
    return Packet(
        token,
        Mode.FULL,
        last_price / divisor,
        open_ / divisor,
        high / divisor,
        low / divisor,
        close / divisor,
        exchange_seconds=exchange_seconds,
    )


def _read_quote(frame: bytes, offset: int) -> Packet:
    token, price, last_units, average, volume, buy, sell, open_, high, low, close = _QUOTE_FIELDS.unpack_from(
        frame, offset
    )
    divisor = _DIVISORS.get(token & 0xFF, _PRICE_DIVISOR)
    return Packet(
        token,
        Mode.QUOTE,
        price / divisor,
        open_ / divisor,
        high / divisor,
        low / divisor,
        close / divisor,
        last_units,
        average / divisor,
        volume,
        buy,
        sell,
    )


def _read_full(frame: bytes, offset: int) -> Packet:
    (
        token,
        price,
        last_units,
        average,
        volume,
        buy,
        sell,
        open_,
        high,
        low,
        close,
        last_trade_seconds,
        interest,
        interest_high,
        interest_low,
        exchange_seconds,
        book,
    ) = _FULL_FIELDS.unpack_from(frame, offset)
    divisor = _DIVISORS.get(token & 0xFF, _PRICE_DIVISOR)
    return Packet(
        token,
        Mode.FULL,
        price / divisor,
        open_ / divisor,
        high / divisor,
        low / divisor,
        close / divisor,
        last_units,
        average / divisor,
        volume,
        buy,
        sell,
        last_trade_seconds,
        interest,
        interest_high,
        interest_low,
        exchange_seconds,
        book,
    )


_READERS = {8: _read_ltp, 28: _read_index_quote, 32: _read_index_full, 44: _read_quote, 184: _read_full}


def _records_of(length: int, **offsets: int) -> np.dtype[np.void]:
    names = ["length", *offsets]
    return np.dtype(
        {
            "names": names,
            "formats": [">u2"] + [">u4"] * len(offsets),
            "offsets": [0] + [_U16.size + offset for offset in offsets.values()],
            "itemsize": _U16.size + length,
        }
    )


_RECORDS = {
    8: _records_of(8, token=0, last_price=4),
    28: _records_of(28, token=0, last_price=4, close=20),
    32: _records_of(32, token=0, last_price=4, close=20, exchange_seconds=28),
    44: _records_of(44, token=0, last_price=4, close=40, volume_traded=16),
    184: _records_of(184, token=0, last_price=4, close=40, volume_traded=16, exchange_seconds=60),
}


def _records(frame: bytes) -> Records | None:
    """Return a frame's packets as one array; None when they differ in length, or are too few to be worth it."""
    if len(frame) < _FEWEST_RECORDS_BYTES:
        return None
    count, length = _HEAD.unpack_from(frame)
    layout = _RECORDS.get(length)
    if layout is None or len(frame) != _U16.size + count * layout.itemsize:
        return None
    records = np.frombuffer(frame, layout, count, _U16.size)
    return records if (records["length"] == length).all() else None


def _prices_of(records: Records) -> list[Price]:
    names = records.dtype.names or ()
    divisors = _ALL_DIVISORS[records["token"] & 0xFF]
    tokens, last_prices = records["token"].tolist(), (records["last_price"] / divisors).tolist()
    closes: Iterable[float | None] = (records["close"] / divisors).tolist() if "close" in names else repeat(None)
    volumes: Iterable[int | None] = records["volume_traded"].tolist() if "volume_traded" in names else repeat(None)
    seconds: Iterable[int | None] = (
        records["exchange_seconds"].tolist() if "exchange_seconds" in names else repeat(None)
    )
    return list(zip(tokens, last_prices, closes, volumes, seconds, strict=False))  # repeat() has no end
