"""The alerts matcher against a naive scan and sortedcontainers, on the same ticks in one run, one core.

100,000 alerts over 5,000 instruments, targets 0.1 to 20 % from the price, random-walk ticks in batches as the feed
brings them. What they fire is compared one for one: on all ticks with sortedcontainers, on a few wild ones with the
naive scan, which looks at every alert for every tick. Then the memory of 1,000,000 alerts.
"""

import gc
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from zlib import crc32

import numpy as np
from sortedcontainers import SortedKeyList  # type: ignore[import-untyped]  # it ships no types

from alerts.domain.alerts import AlertType
from alerts.domain.checkpoint import Checkpoint, Mark
from alerts.domain.leases import Lease
from alerts.domain.matcher import Entry, Matcher
from alerts.domain.positions import NOWHERE, Position
from alerts.domain.ticks import SHARDS
from alerts.domain.watch import Watch
from alerts.feed.batches import read_batch
from bourse.market.v1 import quotes_pb2, ticks_pb2

INSTRUMENTS = 5_000
ALERTS = 100_000
MANY_ALERTS = 1_000_000
TICKS = 400_000
NAIVE_TICKS = 320
BATCH = 32
PORTION = 10_000
CHANGES = 50_000
AIM_TICKS_PER_SECOND = 500_000
AIM_MEGABYTES = 200
START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)

Fires = set[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Columns:
    """One batch: the place of its first tick, and its ticks."""

    first: int
    instruments: Sequence[str]
    prices: Sequence[float]


class Market:
    """Instruments, their prices, and alerts around them."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(20_260_105)
        self.instruments = [f"NSE:SYMBOL{number}" for number in range(INSTRUMENTS)]
        self._prices = self._random.uniform(20, 3_000, INSTRUMENTS).round(2)

    def alerts(self, count: int, *, first_id: int = 0) -> Iterator[Entry]:
        places = np.sort(self._random.integers(0, INSTRUMENTS, count))
        distances = self._random.uniform(0.001, 0.2, count)
        is_sell = self._random.random(count) < 0.5
        targets = (self._prices[places] * np.where(is_sell, 1 + distances, 1 - distances)).round(2)
        for number, (place, target, sells) in enumerate(
            zip(places.tolist(), targets.tolist(), is_sell.tolist(), strict=True), start=first_id
        ):
            yield Entry(number, 1, self.instruments[place], AlertType.SELL if sells else AlertType.BUY, target, 0)

    def batches(self, count: int, *, step: float = 0.0005) -> list[Columns]:
        places = self._random.integers(0, INSTRUMENTS, count)
        factors = np.exp(self._random.normal(0, step, count))
        prices = self._prices.copy()
        walked = np.empty(count)
        for tick, (place, factor) in enumerate(zip(places.tolist(), factors.tolist(), strict=True)):
            prices[place] *= factor
            walked[tick] = prices[place]
        rounded = walked.round(2).tolist()
        names = [self.instruments[place] for place in places.tolist()]
        return [
            Columns(first, names[first : first + BATCH], rounded[first : first + BATCH])
            for first in range(0, count, BATCH)
        ]


def run_matcher(matcher: Matcher, batches: Sequence[Columns]) -> Fires:
    fired: Fires = set()
    for batch in batches:
        for crossing in matcher.evaluate(batch.instruments, batch.prices, 1):
            fired.add((batch.first + crossing.tick, crossing.alert_id))
    return fired


def run_naive(entries: list[Entry], batches: Sequence[Columns]) -> Fires:
    fired: Fires = set()
    for batch in batches:
        for tick, (instrument, price) in enumerate(zip(batch.instruments, batch.prices, strict=True), batch.first):
            reached = [
                entry
                for entry in entries
                if entry.instrument == instrument
                and (price <= entry.threshold if entry.type is AlertType.BUY else price >= entry.threshold)
            ]
            for entry in reached:
                entries.remove(entry)
                fired.add((tick, entry.alert_id))
    return fired


class SortedLists:
    """A sortedcontainers list for each side of each instrument."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._buys: dict[str, SortedKeyList] = {}
        self._sells: dict[str, SortedKeyList] = {}
        for entry in entries:
            side = self._buys if entry.type is AlertType.BUY else self._sells
            found = side.get(entry.instrument)
            if found is None:
                found = side[entry.instrument] = SortedKeyList(key=_threshold)
            found.add(entry)

    def run(self, batches: Sequence[Columns]) -> Fires:
        fired: Fires = set()
        for batch in batches:
            for tick, (instrument, price) in enumerate(zip(batch.instruments, batch.prices, strict=True), batch.first):
                buys, sells = self._buys.get(instrument), self._sells.get(instrument)
                while buys and buys[-1].threshold >= price:
                    fired.add((tick, buys.pop().alert_id))
                while sells and sells[0].threshold <= price:
                    fired.add((tick, sells.pop(0).alert_id))
        return fired


def _threshold(entry: Entry) -> float:
    return entry.threshold


def build(entries: Sequence[Entry]) -> Matcher:
    matcher = Matcher()
    for first in range(0, len(entries), PORTION):
        matcher.extend(entries[first : first + PORTION])
    return matcher


def timed(action: Callable[[], Fires]) -> tuple[float, Fires]:
    gc.collect()
    started = perf_counter()
    fired = action()
    return perf_counter() - started, fired


def compare(market: Market) -> None:
    entries = list(market.alerts(ALERTS))
    batches, wild = market.batches(TICKS), market.batches(NAIVE_TICKS, step=0.05)
    matcher, lists, again = build(entries), SortedLists(entries), build(entries)
    ours_seconds, ours = timed(lambda: run_matcher(matcher, batches))
    sorted_seconds, by_lists = timed(lambda: lists.run(batches))
    naive_seconds, by_scan = timed(lambda: run_naive(entries, wild))
    ours_rate, sorted_rate, naive_rate = TICKS / ours_seconds, TICKS / sorted_seconds, NAIVE_TICKS / naive_seconds
    verdict = "met" if ours_rate > AIM_TICKS_PER_SECOND else "MISSED"
    print(f"matcher: {ALERTS:,} alerts, {INSTRUMENTS:,} instruments, {TICKS:,} ticks in batches of {BATCH}")
    print(f"  matcher           {ours_rate:12,.0f} ticks/s   aim {AIM_TICKS_PER_SECOND:,}: {verdict}")
    print(f"  sortedcontainers  {sorted_rate:12,.0f} ticks/s   the matcher is {ours_rate / sorted_rate:,.1f} x as fast")
    print(f"  naive scan        {naive_rate:12,.0f} ticks/s   the matcher is {ours_rate / naive_rate:,.0f} x as fast")
    print(f"  {len(by_lists):,} fires, {len(ours ^ by_lists)} differing from sortedcontainers")
    print(f"  {len(by_scan):,} fires on wild ticks, {len(run_matcher(again, wild) ^ by_scan)} differing from the scan")


def encode(batches: Sequence[Columns]) -> list[bytes]:
    sequences = [0] * SHARDS
    payloads = []
    for batch in batches:
        shard = crc32(batch.instruments[0].encode()) % SHARDS
        sequences[shard] += 1
        message = ticks_pb2.TickBatch(
            publisher_id="bench",
            epoch=1,
            shard=shard,
            sequence=sequences[shard],
            source="sample",
            freshness=quotes_pb2.FRESHNESS_SIMULATED,
            ticks=[
                ticks_pb2.Tick(instrument=instrument, last_price=price, offset_microseconds=offset)
                for offset, (instrument, price) in enumerate(zip(batch.instruments, batch.prices, strict=True))
            ],
        )
        message.base_time.FromDatetime(START)
        payloads.append(message.SerializeToString())
    return payloads


def from_bytes(market: Market) -> None:
    payloads = encode(market.batches(TICKS))
    checkpoint = Checkpoint(began_at=START, resume=Mark(NOWHERE, START), evaluated=NOWHERE, seen=())
    watch = Watch(checkpoint, Lease(shard=0, fence=1))
    watch._matcher = build(list(market.alerts(ALERTS)))  # noqa: SLF001  # what loading from a database would do
    for instrument in market.instruments:
        watch._tape.begin(instrument, NOWHERE)  # noqa: SLF001  # the same

    def run() -> Fires:
        for sequence, payload in enumerate(payloads, start=1):
            watch.evaluate(read_batch(payload, Position(1, sequence)))
        return set()

    seconds, _ = timed(run)
    print(f"  read, checked for holes, matched, kept as candidates: {TICKS / seconds:,.0f} ticks/s from bytes")


def change(market: Market) -> None:
    matcher = build(list(market.alerts(ALERTS)))
    fresh = list(market.alerts(CHANGES, first_id=ALERTS))

    def run() -> Fires:
        for entry in fresh:
            matcher.insert(entry)
        for entry in fresh:
            matcher.discard(entry)
        return set()

    seconds, _ = timed(run)
    print(f"  insert and discard: {seconds / CHANGES * 1e6:.1f} us the pair")


def weigh(market: Market) -> None:
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    matcher = Matcher()
    portion: list[Entry] = []
    for entry in market.alerts(MANY_ALERTS):
        portion.append(entry)
        if len(portion) == PORTION:
            matcher.extend(portion)
            portion = []
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    size = after - before
    verdict = "met" if size <= AIM_MEGABYTES * 1e6 else "MISSED"
    each = size / MANY_ALERTS
    print(f"  {MANY_ALERTS:,} alerts: {size / 1e6:.0f} MB, {each:.0f} bytes each   aim {AIM_MEGABYTES} MB: {verdict}")
    batches = market.batches(TICKS)
    seconds, fired = timed(lambda: run_matcher(matcher, batches))
    print(f"  with them: {TICKS / seconds:,.0f} ticks/s, {len(fired):,} fires")


def main() -> None:
    market = Market()
    compare(market)
    from_bytes(market)
    change(market)
    weigh(market)


if __name__ == "__main__":
    main()
