"""Deletes, now and then, rows of which nothing can come any more, so that no table grows with what is over.

`tick_streams` is left out: it has one row for each life of the stream, and a life that is seen again, as when a server
comes back that was cut off, has to have the number it had.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from alerts.domain.explanations import MAX_STRETCHES
from alerts.domain.ids import first_id_of
from alerts.domain.ports import LeftoverStore
from alerts.domain.sweeps import sweep_every
from alerts.domain.ticks import SHARDS
from alerts.domain.watches import Watches
from chassis.clock import Clock

SWEEP_EVERY_SECONDS = 60.0
ROWS_AT_ONCE = 1_000
MOST_TIMES = 100
# An id comes again only where a clock stands once more at the millisecond in which it was made.
DELETED_IDS_KEPT = timedelta(days=1)
# Nothing that is still under way is from so long ago.
ENDED_ACCOUNTS_KEPT = timedelta(days=1)
# Stretches end nearly in the order in which they are recorded, so that of twice as many as are shown the rest is not.
STRETCHES_KEPT = 2 * MAX_STRETCHES
SWEPT_WITH = 0


class LeftoverSweep:
    """Deletes leftovers of all replicas where the first shard is held: one does it at a time, and two do no harm."""

    def __init__(self, watches: Watches, store: LeftoverStore, clock: Clock) -> None:
        self._watches = watches
        self._store = store
        self._clock = clock

    async def sweep(self) -> None:
        """Delete what is over, so many rows of each kind at most; what is left goes next time.

        Raises:
            DatabaseUnavailable: what is left goes next time.
        """
        if self._watches.of_shard(SWEPT_WITH) is None:
            return
        now = self._clock.now()
        before_id, before = first_id_of(now - DELETED_IDS_KEPT), now - ENDED_ACCOUNTS_KEPT
        await _repeat(lambda limit: self._store.forget_deleted(before_id, limit=limit))
        await _repeat(lambda limit: self._store.forget_ended(before, limit=limit))
        for shard in range(SHARDS):
            await self._forget_missing(shard)

    async def _forget_missing(self, shard: int) -> None:
        async def forget(limit: int) -> int:
            return await self._store.forget_missing(shard, shown=MAX_STRETCHES, kept=STRETCHES_KEPT, limit=limit)

        await _repeat(forget)

    async def run(self) -> None:
        """Sweep every minute until cancelled."""
        await sweep_every(SWEEP_EVERY_SECONDS, self.sweep, self._clock, what="leftovers")


async def _repeat(delete: Callable[[int], Awaitable[int]]) -> None:
    for _ in range(MOST_TIMES):
        if await delete(ROWS_AT_ONCE) < ROWS_AT_ONCE:
            return
