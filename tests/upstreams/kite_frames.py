"""Kite's binary ticks as the ticker sends them: big-endian, a frame of packets whose length says their kind."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

DIVISORS = {3: 10_000_000, 6: 10_000, 12: 10_000}
"""By segment, the token's last byte; all others have paise."""
USUAL_DIVISOR = 100
INDICES = 9
HEARTBEAT = b"\x00"
DEPTH_LEVELS = 5


class Mode(Enum):
    """How much of a tick a client asked for."""

    LTP = "ltp"
    QUOTE = "quote"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Level:
    """One level of the book."""

    quantity: int = 0
    price: float = 0
    orders: int = 0


@dataclass(frozen=True, slots=True)
class Tick:
    """What an instrument did; prices in rupees, times in seconds since the epoch (0 means unknown)."""

    token: int
    last_price: float
    open: float = 0
    high: float = 0
    low: float = 0
    close: float = 0
    last_traded_quantity: int = 0
    average_traded_price: float = 0
    volume: int = 0
    buy_quantity: int = 0
    sell_quantity: int = 0
    last_trade_time: int = 0
    open_interest: int = 0
    open_interest_high: int = 0
    open_interest_low: int = 0
    exchange_timestamp: int = 0
    buys: tuple[Level, ...] = (Level(),) * DEPTH_LEVELS
    sells: tuple[Level, ...] = (Level(),) * DEPTH_LEVELS

    @property
    def is_index(self) -> bool:
        """Say whether it is an index's, which has no book and no volume."""
        return self.token & 0xFF == INDICES

    def whole(self, price: float) -> int:
        """Return a price as it travels: a whole number of the segment's smallest units."""
        return round(price * DIVISORS.get(self.token & 0xFF, USUAL_DIVISOR))


def packet(tick: Tick, mode: Mode) -> bytes:
    """Write one packet: 8 bytes, or 28 or 32 of an index, or 44 or 184 of anything else."""
    head = [tick.token, tick.whole(tick.last_price)]
    if mode is Mode.LTP:
        return _words(head)
    return _index(tick, mode, head) if tick.is_index else _share(tick, mode, head)


def frame(packets: Sequence[bytes]) -> bytes:
    """Write one frame: the packets' number, and before each its length."""
    return struct.pack(">H", len(packets)) + b"".join(struct.pack(">H", len(one)) + one for one in packets)


def _words(numbers: Sequence[int]) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)


def _index(tick: Tick, mode: Mode, head: list[int]) -> bytes:
    prices = [tick.whole(price) for price in (tick.high, tick.low, tick.open, tick.close)]
    change = abs(tick.whole(tick.last_price - tick.close))
    return _words([*head, *prices, change, *([tick.exchange_timestamp] if mode is Mode.FULL else [])])


def _share(tick: Tick, mode: Mode, head: list[int]) -> bytes:
    traded = [tick.last_traded_quantity, tick.whole(tick.average_traded_price), tick.volume]
    prices = [tick.whole(price) for price in (tick.open, tick.high, tick.low, tick.close)]
    quote = _words([*head, *traded, tick.buy_quantity, tick.sell_quantity, *prices])
    if mode is Mode.QUOTE:
        return quote
    interest = [tick.open_interest, tick.open_interest_high, tick.open_interest_low]
    levels = (*tick.buys[:DEPTH_LEVELS], *tick.sells[:DEPTH_LEVELS])
    book = b"".join(struct.pack(">IIHxx", one.quantity, tick.whole(one.price), one.orders) for one in levels)
    return quote + _words([tick.last_trade_time, *interest, tick.exchange_timestamp]) + book
