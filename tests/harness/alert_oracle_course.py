"""The course that prices take in the matrix, the alerts laid across it, and the feed that publishes it in disorder."""

import asyncio
import random
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import nats.errors
from nats.aio.client import Client

from bourse.market.v1 import quotes_pb2, ticks_pb2
from harness.alert_oracle import Batch

SHARDS = 16
INSTRUMENTS_PER_SHARD = 2
CENTS = Decimal("0.01")
MIDDLE, SWING, NOISE = 100_000, 20_000, 30
NEAREST, FARTHEST, OUT_OF_REACH = 300, 19_000, 30_000
SLICES_PER_CYCLE = 16
# Of the batches that are not sent in their turn, so many are never sent.
NEVER_SENT = 0.2
MOMENT = timedelta(microseconds=1)


def shard_of(instrument: str) -> int:
    return zlib.crc32(instrument.encode()) % SHARDS


def instruments() -> list[str]:
    """Name as many instruments of each shard as there are to be, those of a shard together."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    number = 0
    while sum(map(len, found.values())) < SHARDS * INSTRUMENTS_PER_SHARD:
        number += 1
        name = f"NASDAQ:M{number}"
        if len(found[shard_of(name)]) < INSTRUMENTS_PER_SHARD:
            found[shard_of(name)].append(name)
    return [name for shard in range(SHARDS) for name in found[shard]]


INSTRUMENTS = instruments()


@dataclass(frozen=True, slots=True)
class LaidAlert:
    """An alert to set; `price` in the instrument's currency."""

    user_id: str
    type: str
    instrument: str
    price: Decimal


def price_of(cents: int) -> Decimal:
    return cents * CENTS


def lay(count: int) -> list[LaidAlert]:
    """Lay alerts evenly across the course, nearest first; each thirtieth where no price ever comes."""
    laid: list[LaidAlert] = []
    per_side = count // (2 * len(INSTRUMENTS)) + 1
    for number in range(count):
        rank, place = divmod(number, 2 * len(INSTRUMENTS))
        kind = "buy" if place % 2 else "sell"
        away = NEAREST + (FARTHEST - NEAREST) * rank // per_side
        away = OUT_OF_REACH if number % 30 == 29 else away
        price = price_of(MIDDLE - away if kind == "buy" else MIDDLE + away)
        laid.append(LaidAlert(f"user-{rank}", kind, INSTRUMENTS[place // 2], price))
    return laid


class Course:
    """Prices that swing wider and wider, so that alerts fire from the first slice to the last."""

    def __init__(self, slices: int, chance: random.Random) -> None:
        self.slices = slices
        self._chance = chance
        self.latest = dict.fromkeys(INSTRUMENTS, price_of(MIDDLE))

    def prices(self, number: int) -> dict[str, Decimal]:
        """Return each instrument's price in a slice."""
        for place, instrument in enumerate(INSTRUMENTS):
            phase = (number + place * 5) % SLICES_PER_CYCLE / SLICES_PER_CYCLE
            # 0 at both ends and in the middle of a cycle, 1 and -1 in between.
            wave = 4 * phase if phase < 0.25 else 2 - 4 * phase if phase < 0.75 else 4 * phase - 4
            swing = SWING * (number + 1) / self.slices * wave
            self.latest[instrument] = price_of(MIDDLE + round(swing) + self._chance.randint(-NOISE, NOISE))
        return dict(self.latest)


class Feed:
    """Publishes batches as a feed does; some twice, some late, a few never, and none while NATS is away.

    Attributes:
        sent: all batches that were counted, also those that were lost.
        pause: held while a slice is published, and by whoever wants none to be.
    """

    def __init__(self, client: Client, chance: random.Random, *, disorder: float) -> None:
        self.sent: list[Batch] = []
        self.pause = asyncio.Lock()
        self._client = client
        self._chance = chance
        self._disorder = disorder
        self._epoch = time.time_ns() // 1000
        self._sequences = [0] * SHARDS
        self._late: list[Batch] = []
        self._latest_at = datetime.now(UTC)

    async def publish(self, prices: dict[str, Decimal]) -> None:
        """Publish one slice, a batch for each shard, and behind it what of the last one is late or repeated."""
        async with self.pause:
            late, self._late = self._late, []
            for batch in self._batches(prices):
                draw = self._chance.random()
                if draw < self._disorder * NEVER_SENT:
                    continue
                if draw < self._disorder:
                    self._late.append(batch)
                    continue
                await self._send(batch)
                if draw > 1 - self._disorder:
                    self._late.append(batch)
            for batch in late:
                await self._send(batch)
            await self._flush()

    async def finish(self, prices: dict[str, Decimal]) -> None:
        """Publish what is late, and a last slice in good order."""
        async with self.pause:
            late, self._late = self._late, []
            for batch in [*late, *self._batches(prices)]:
                await self._send(batch)
            await self._flush()

    def _batches(self, prices: dict[str, Decimal]) -> Iterator[Batch]:
        for shard in range(SHARDS):
            own = [(name, price) for name, price in prices.items() if shard_of(name) == shard]
            if own:
                self._sequences[shard] += 1
                self._latest_at = max(datetime.now(UTC), self._latest_at + MOMENT)
                batch = Batch("matrix", self._epoch, shard, self._sequences[shard], self._latest_at, tuple(own))
                self.sent.append(batch)
                yield batch

    async def _send(self, batch: Batch) -> None:
        if not self._client.is_connected:
            return
        await self._client.publish(f"ticks.{batch.shard}", message_of(batch).SerializeToString())

    async def _flush(self) -> None:
        try:
            await self._client.flush(timeout=5)
        except (nats.errors.Error, OSError, TimeoutError):
            return


def message_of(batch: Batch) -> ticks_pb2.TickBatch:
    """Write a batch."""
    ticks: list[Any] = [ticks_pb2.Tick(instrument=name, last_price=float(price)) for name, price in batch.ticks]
    message = ticks_pb2.TickBatch(
        publisher_id=batch.publisher_id,
        epoch=batch.epoch,
        shard=batch.shard,
        sequence=batch.sequence,
        source="sample",
        freshness=quotes_pb2.FRESHNESS_SIMULATED,
        ticks=ticks,
    )
    message.base_time.FromDatetime(batch.at)
    message.published_at.FromDatetime(batch.at)
    return message


def seed_rows(laid: Sequence[LaidAlert], at: datetime) -> list[dict[str, object]]:
    """Return the rows of alerts that were armed in front of everything."""
    return [
        {
            "id": number,
            "user_id": alert.user_id,
            "type": alert.type,
            "instrument": alert.instrument,
            "shard": shard_of(alert.instrument),
            "symbol": alert.instrument,
            "price": f"{alert.price:f}",
            "generation": 1,
            "state": "armed",
            "created_at": at,
            "armed_stream": 1,
            "armed_sequence": 0,
            "armed_at": at,
        }
        for number, alert in enumerate(laid, start=1)
    ]
