"""Who may run now: so many at once, so many of one broker, and a bounded queue of the others."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from brokers.domain.brokers import Broker
from brokers.domain.errors import SyncQueueFull

KEPT_FOR_OTHERS = 2


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    broker: Broker
    admitted: "asyncio.Future[None]"


class Lanes:
    """Admits first come, first served; a broker that has all it may have is passed over, so that others go on.

    Args:
        at_most: how many run at once; of one broker two less, where that leaves any.
        queue_at_most: how many wait; whoever comes then is refused.
    """

    def __init__(self, *, at_most: int, queue_at_most: int) -> None:
        self._at_most = at_most
        self._of_one_broker = at_most - KEPT_FOR_OTHERS if at_most > KEPT_FOR_OTHERS else at_most
        self._queue_at_most = queue_at_most
        self._running: Counter[Broker] = Counter()
        self._queue: list[_Waiter] = []

    @property
    def waiting(self) -> int:
        """Return how many wait."""
        return len(self._queue)

    @property
    def running(self) -> int:
        """Return how many run."""
        return self._running.total()

    @asynccontextmanager
    async def place(self, broker: Broker) -> AsyncIterator[None]:
        """Hold a place in the block, after waiting for it; a waiter that is cancelled leaves the queue.

        Raises:
            SyncQueueFull: too many wait already.
        """
        await self._enter(broker)
        try:
            yield
        finally:
            self._leave(broker)

    async def _enter(self, broker: Broker) -> None:
        if self._is_free_for(broker):
            self._running[broker] += 1
            return
        if len(self._queue) >= self._queue_at_most:
            raise SyncQueueFull
        waiter = _Waiter(broker, asyncio.get_running_loop().create_future())
        self._queue.append(waiter)
        try:
            await waiter.admitted
        except asyncio.CancelledError:
            if waiter in self._queue:
                self._queue.remove(waiter)
            else:
                self._leave(broker)
            raise

    def _leave(self, broker: Broker) -> None:
        self._running[broker] -= 1
        waiter = next((waiting for waiting in self._queue if self._can_enter(waiting)), None)
        if waiter is not None:
            self._queue.remove(waiter)
            self._running[waiter.broker] += 1
            waiter.admitted.set_result(None)

    def _can_enter(self, waiter: _Waiter) -> bool:
        # One that was cancelled stands in the queue until its task has run.
        return not waiter.admitted.done() and self._is_free_for(waiter.broker)

    def _is_free_for(self, broker: Broker) -> bool:
        return self._running.total() < self._at_most and self._running[broker] < self._of_one_broker
