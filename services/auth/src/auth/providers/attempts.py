"""Attempts counted by the `limits` library: in this process, or in Redis for all replicas together."""

import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from limits import RateLimitItem
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError
from pydantic import SecretStr

from auth.domain.ports import Limit
from chassis.clock import Clock
from chassis.metrics import counter
from chassis.redis_pool import redis_pool

log = logging.getLogger(__name__)

KEY_PREFIX = "auth-attempts"
# A Redis that does not answer is not asked again for so long: each question would cost a login its time-out.
REST_SECONDS = 1.0

REDIS_FAILURES = counter("bourse_auth_attempts_redis_failures", "Times that Redis could not be asked about attempts.")


class WindowedAttempts:
    """Counts attempts in fixed windows; a Redis that is away is stood in for by this process's own memory.

    A window begins with its first attempt and is not prolonged by refused ones, so that the wait is at most a window.
    """

    def __init__(self, limits: Mapping[Limit, RateLimitItem], shared: RedisStorage | None, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._shared = None if shared is None else FixedWindowRateLimiter(shared)
        self._is_shared_away = False
        self._resting_until = 0.0

    @classmethod
    @asynccontextmanager
    async def open(
        cls, limits: Mapping[Limit, RateLimitItem], redis_url: SecretStr | None, clock: Clock
    ) -> AsyncIterator["WindowedAttempts"]:
        """Open the counters, in Redis when there is an address for it.

        Args:
            limits: how many attempts a window holds, and how long it is.
            redis_url: `redis://` or `rediss://`.
            clock: what tells how long a Redis that was away is left alone.
        """
        if redis_url is None:
            yield cls(limits, None, clock)
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
            yield cls(limits, shared, clock)
        finally:
            await pool.aclose()

    @property
    def are_shared(self) -> bool:
        """Say whether replicas count together: not without Redis, and not while it is away."""
        return self._shared is not None and not self._is_shared_away

    async def count(self, limit: Limit, key: str) -> float | None:
        """Count one attempt; None when it is within the limit, else the seconds until the window ends."""
        if self._shared is not None and not self._is_resting:
            try:
                wait = await self._count_in(self._shared, limit, key)
            except StorageError as error:
                self._note(is_away=True, error=error)
            else:
                self._note(is_away=False)
                return wait
        return await self._count_in(self._own, limit, key)

    async def forget(self, limit: Limit, key: str) -> None:
        """Start the count anew."""
        window = self._limits[limit]
        await self._own.clear(window, limit.value, key)
        if self._shared is None or self._is_resting:
            return
        try:
            await self._shared.clear(window, limit.value, key)
        except StorageError as error:
            self._note(is_away=True, error=error)

    @property
    def _is_resting(self) -> bool:
        return self._clock.monotonic() < self._resting_until

    async def _count_in(self, counter: FixedWindowRateLimiter, limit: Limit, key: str) -> float | None:
        window = self._limits[limit]
        if await counter.hit(window, limit.value, key):
            return None
        stats = await counter.get_window_stats(window, limit.value, key)
        return max(0.0, stats.reset_time - time.time())

    def _note(self, *, is_away: bool, error: Exception | None = None) -> None:
        if is_away:
            REDIS_FAILURES.inc()
            self._resting_until = self._clock.monotonic() + REST_SECONDS
        if is_away == self._is_shared_away:
            return
        self._is_shared_away = is_away
        if is_away:
            log.warning("attempts are counted by this process alone", extra={"error": type(error).__name__})
        else:
            log.info("attempts are counted in Redis again")
