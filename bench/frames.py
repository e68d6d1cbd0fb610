"""Kite's binary frames, ours against the library's own parser on the same bytes in one run, one core.

What ticks are made of, which is what the feed reads, and everything a packet holds; then what 3,000 full-mode ticks a
second cost from their frames to the bytes of the batches that go to NATS.
"""

import asyncio
import gc
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from time import process_time
from typing import Any, cast

from kiteconnect import KiteTicker

from brokers.domain.ticks import Freshness
from brokers.feed.kite_frames import Packet, read_frame, read_prices
from brokers.feed.kite_ticks import TickMaker
from brokers.feed.publisher import TickPublisher
from chassis.bus import Bus
from chassis.clock import SystemClock

TICKS_PER_FRAME = 1_000
INSTRUMENTS = 3_000
TICKS_PER_SECOND = 3_000
SECONDS = 5
ROUNDS = 15
AIM = 10
KINDS = {8: "ltp", 44: "quote", 184: "full"}
NSE, INDICES = 1, 9
INDEX_FULL = 32
NOW = int(datetime.now(UTC).timestamp())

Read = Callable[[bytes], object]


def token_of(number: int, segment: int = NSE) -> int:
    return number << 8 | segment


def packet(length: int, token: int, price: int) -> bytes:
    if length == 8:
        return struct.pack(">2I", token, price)
    if length == INDEX_FULL:
        return struct.pack(">8I", token, price, price + 50, price - 50, price, price - 10, 10, NOW)
    traded = [25, price - 3, 1_000_000 + price, 5_000, 6_000, price - 20, price + 50, price - 50, price - 10]
    quote = struct.pack(">11I", token, price, *traded)
    if length == 44:
        return quote
    levels = b"".join(struct.pack(">IIHxx", 100 + place, price + 5 * place, 3) for place in range(10))
    return quote + struct.pack(">5I", NOW, 0, 0, 0, NOW) + levels


def frame(packets: Sequence[bytes]) -> bytes:
    return struct.pack(">H", len(packets)) + b"".join(struct.pack(">H", len(each)) + each for each in packets)


def best_seconds(read: Read, subject: bytes) -> float:
    gc.collect()
    times = []
    for _ in range(ROUNDS):
        began = process_time()
        read(subject)
        times.append(process_time() - began)
    return min(times)


def read_everything(subject: bytes) -> list[tuple[Packet, Any]]:
    """Read what the library reads, the order book and the change among it."""
    return [(each, (each.depth, each.change_percent)) for each in read_frame(subject)]


def compare(name: str, subject: bytes, *, aim: int | None = None) -> None:
    library: Read = KiteTicker("bench", "bench")._parse_binary  # noqa: SLF001  # what its websocket calls
    theirs = best_seconds(library, subject)
    ours, everything = best_seconds(read_prices, subject), best_seconds(read_everything, subject)
    ratio = theirs / ours
    verdict = "" if aim is None else f"   aim {aim} x: {'met' if ratio >= aim else 'MISSED'}"
    print(
        f"  {name:<14} {ours * 1e6:9,.0f} us  {theirs * 1e6:9,.0f} us  {ratio:6.1f} x"
        f"   {everything * 1e6:9,.0f} us  {theirs / everything:5.1f} x{verdict}"
    )


class Weighed:
    """Stands in for the bus: what comes out is weighed and thrown away."""

    def __init__(self) -> None:
        self.messages = self.bytes = 0

    async def publish(self, _: str, payload: bytes) -> None:
        self.messages += 1
        self.bytes += len(payload)


async def spend(frames: Sequence[bytes]) -> tuple[float, int, Weighed]:
    """Carry frames through as the feed does, each a slice of its own; return seconds, ticks and what came out."""
    clock = SystemClock()
    publisher = TickPublisher(cast("Bus", bus := Weighed()), clock, publisher_id="bench")
    maker = TickMaker({f"NSE:SYMBOL{number}": token_of(number) for number in range(INSTRUMENTS)})
    gc.collect()
    began = process_time()
    for each in frames:
        publisher.offer(maker.ticks(read_prices(each), clock.now()), Freshness.LIVE)
        await publisher.publish_waiting()
    return process_time() - began, publisher.published_ticks, bus


def carry(per_frame: int) -> None:
    numbers = range(TICKS_PER_SECOND * SECONDS)
    packets = [packet(184, token_of(number % INSTRUMENTS), 384_250 + number) for number in numbers]
    frames = [frame(packets[first : first + per_frame]) for first in range(0, len(packets), per_frame)]
    seconds, ticks, bus = asyncio.run(spend(frames))
    if ticks != len(packets):
        raise SystemExit(f"{len(packets) - ticks} ticks got lost")
    print(
        f"  in frames of {per_frame:>5,}: {seconds / SECONDS:6.2%} of a core, {seconds / ticks * 1e6:.1f} us a tick,"
        f" {bus.messages:,} messages of {bus.bytes / bus.messages:,.0f} bytes"
    )


def main() -> None:
    print(f"Kite's frames of {TICKS_PER_FRAME:,} ticks, best of {ROUNDS}")
    print("                  what ticks need, library, ratio           everything, ratio")
    for length, name in KINDS.items():
        compare(name, frame([packet(length, token_of(each), 384_250) for each in range(TICKS_PER_FRAME)]), aim=AIM)
    mixed = [packet(184, token_of(each), 384_250) for each in range(TICKS_PER_FRAME)]
    mixed[::20] = [packet(INDEX_FULL, token_of(each, INDICES), 2_400_000) for each in range(TICKS_PER_FRAME // 20)]
    compare("full, indices", frame(mixed))
    print(f"{TICKS_PER_SECOND:,} full-mode ticks/s, from frames to the bytes of their batches")
    for per_frame in (30, 300, 1_000):
        carry(per_frame)


if __name__ == "__main__":
    main()
