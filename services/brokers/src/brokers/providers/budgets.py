"""How often brokers were asked, counted by the `limits` library: in this process, or in Redis for all replicas."""

import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from limits.util import WindowStats
from pydantic import SecretStr

from brokers.domain.brokers import Broker
from brokers.domain.budgets import ALLOWANCES, Allowance
from chassis.metrics import counter
from chassis.redis_pool import redis_pool

log = logging.getLogger(__name__)

KEY_PREFIX = "broker-budgets"
# Replicas' clocks differ by less; what was counted later than this is from before somebody set the clock back.
FUTURE_SECONDS = 60

REDIS_FAILURES = counter("bourse_brokers_budget_redis_failures", "Times that Redis could not be asked about budgets.")


class SharedBudget:
    """Moving windows, so that no stretch of time has more calls than allowed.

    A Redis that is away is stood in for by this process's own memory, which counts every call too.
    """

    def __init__(self, allowances: Mapping[Broker, Sequence[Allowance]], shared: RedisStorage | None) -> None:
        self._windows = {
            broker: [RateLimitItemPerSecond(each.calls, each.seconds) for each in listed]
            for broker, listed in allowances.items()
        }
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._shared = None if shared is None else MovingWindowRateLimiter(shared)
        self._is_shared_away = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls, redis_url: SecretStr | None, allowances: Mapping[Broker, Sequence[Allowance]] = ALLOWANCES
    ) -> AsyncIterator["SharedBudget"]:
        """Open the counters, in Redis when there is an address for it."""
        if redis_url is None:
            yield cls(allowances, None)
            return
        pool = redis_pool(redis_url)
        shared = RedisStorage(
            f"async+{redis_url.get_secret_value()}",
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix=KEY_PREFIX,
            connection_pool=pool,  # type: ignore[arg-type]  # documented, though not in the annotation
        )
        try:
            yield cls(allowances, shared)
        finally:
            await pool.aclose()

    @property
    def is_shared(self) -> bool:
        """Say whether replicas share the budgets: not without Redis, and not while it is away."""
        return self._shared is not None and not self._is_shared_away

    async def take(self, broker: Broker, calls: int) -> int:
        """Take up to `calls` calls out of the budget and return how many; 0 when it is spent."""
        granted = await self._take_from(self._own, broker, calls)
        if self._shared is None or granted == 0:
            return granted
        try:
            granted = await self._take_from(self._shared, broker, granted)
        except StorageError as error:
            self._note(is_away=True, error=error)
        else:
            self._note(is_away=False)
        return granted

    async def wait_seconds(self, broker: Broker) -> float:
        """Return after how long a call can be taken again; 0 when one can be now."""
        own = await self._wait_in(self._own, broker)
        if self._shared is None:
            return own
        try:
            return max(own, await self._wait_in(self._shared, broker))
        except StorageError as error:
            self._note(is_away=True, error=error)
            return own

    async def _take_from(self, counter: MovingWindowRateLimiter, broker: Broker, calls: int) -> int:
        left = [window.remaining for window in await self._stats(counter, broker)]
        granted = max(0, min(calls, *left))
        if granted == 0:
            return 0
        for window in self._windows[broker]:
            # Between the look and the hit another replica may have taken them: then nothing is granted this time.
            if not await counter.hit(window, broker.value, cost=granted):
                return 0
        return granted

    async def _wait_in(self, counter: MovingWindowRateLimiter, broker: Broker) -> float:
        stats = await self._stats(counter, broker)
        waits = [window.reset_time - time.time() for window in stats if window.remaining <= 0]
        return max(0.0, *waits) if waits else 0.0

    async def _stats(self, counter: MovingWindowRateLimiter, broker: Broker) -> list[WindowStats]:
        """Return how the windows stand; calls of the future are forgotten, or they would count until it is there."""
        found = []
        for window in self._windows[broker]:
            stats = await counter.get_window_stats(window, broker.value)
            if stats.reset_time > time.time() + window.get_expiry() + FUTURE_SECONDS:
                await counter.clear(window, broker.value)
                stats = await counter.get_window_stats(window, broker.value)
            found.append(stats)
        return found

    def _note(self, *, is_away: bool, error: Exception | None = None) -> None:
        if is_away:
            REDIS_FAILURES.inc()
        if is_away == self._is_shared_away:
            return
        self._is_shared_away = is_away
        if is_away:
            log.warning("budgets are counted by this process alone", extra={"error": type(error).__name__})
        else:
            log.info("budgets are counted in Redis again")
