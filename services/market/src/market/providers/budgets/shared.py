"""How often vendors were asked, counted by the `limits` library: in this process, or in Redis for all replicas.

Windows move, so that no stretch of time has more calls than allowed. A process that cannot reach Redis counts by itself
and spends a share of the budget only, since it doesn't know what its replicas spend; what it spent is counted in Redis
afterwards, as is all it spent when Redis has forgotten.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from limits.util import WindowStats
from pydantic import SecretStr

from chassis.clock import Clock, SystemClock
from chassis.metrics import reading
from chassis.redis_pool import redis_pool
from chassis.tasks import running
from market.domain.breaker import CircuitBreaker
from market.domain.budgets import Window
from market.domain.source_failures import SourceRefused

log = logging.getLogger(__name__)

# After a failure Redis is left alone for so long, or each call to a vendor would wait for it.
REDIS_REST_SECONDS = 5.0
# How often it is looked what is left, for who asks for the metrics.
LOOK_SECONDS = 10.0
KEY_PREFIX = "market-budgets"
ALONE_SHARE = 0.25
# Replicas' clocks differ by less; what was counted later than this is from before somebody set the clock back.
FUTURE_SECONDS = 60
SPENT = "may not be asked more often now"

_ALL, _ALONE = "all", "alone"


class VendorBudget:
    """One vendor's windows, all of which a call is counted in.

    Args:
        vendor: names the vendor in Redis.
        windows: how many calls are allowed, at least one window.
        shared: what replicas count in; None counts in this process alone, and grants all of the budget.
        alone_share: the part of each window that is granted while `shared` is away, one call at least.
        clock: measures how long Redis is left alone.
    """

    def __init__(
        self,
        vendor: str,
        windows: Sequence[Window],
        shared: RedisStorage | None,
        *,
        alone_share: float = ALONE_SHARE,
        clock: Clock | None = None,
    ) -> None:
        self._vendor = vendor
        self._windows = [RateLimitItemPerSecond(each.calls, each.seconds) for each in windows]
        self._alone_share = alone_share
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._shared = shared
        self._breaker = CircuitBreaker(clock or SystemClock(), failures_to_open=1, rest_seconds=REDIS_REST_SECONDS)
        self._marker = f"{vendor}/seen/{uuid.uuid4().hex}"
        self._is_shared_away = False
        # A look and a hit belong together, or two callers would spend the same call.
        self._lock = asyncio.Lock()

    async def take(self, calls: int = 1) -> None:
        """Count calls that are about to be made.

        Raises:
            SourceRefused: that many may not be made now; none was counted. Only where another replica took calls in the
                same millisecond may some be counted in the shorter windows and not made.
        """
        async with self._lock:
            if not await self._take_shared(calls):
                await self._take_alone(calls)

    async def left(self) -> int:
        """Return how many calls could be made now: in Redis' view, or in that of this process while Redis is away."""
        if self._shared is not None and not self._breaker.is_open:
            try:
                return await self._left_of(MovingWindowRateLimiter(self._shared), self._vendor)
            except StorageError:
                self._breaker.note_failure()
        return await self._left_of(self._own, _ALL, share=1.0 if self._shared is None else self._alone_share)

    async def _left_of(self, counter: MovingWindowRateLimiter, name: str, *, share: float = 1.0) -> int:
        lefts: list[int] = []
        for window in self._windows:
            used = window.amount - (await counter.get_window_stats(window, name)).remaining
            lefts.append(max(0, _granted(window, share) - used))
        return min(lefts)

    async def _take_shared(self, calls: int) -> bool:
        """Take calls out of what replicas share; False when there is nothing shared, or it is away."""
        if self._shared is None or not self._breaker.allows():
            return False
        counter = MovingWindowRateLimiter(self._shared)
        try:
            await self._tell_what_is_missing(self._shared, counter)
            await self._take_from(counter, self._vendor, calls)
        except StorageError as error:
            self._breaker.note_failure()
            self._note(is_away=True, error=error)
            return False
        except SourceRefused:
            self._note_answered()
            raise
        self._note_answered()
        await self._count(self._own, _ALL, calls)
        return True

    async def _take_alone(self, calls: int) -> None:
        share = 1.0 if self._shared is None else self._alone_share
        await self._take_from(self._own, _ALL, calls, share=share)
        if self._shared is not None:
            await self._count(self._own, _ALONE, calls)

    async def _take_from(self, counter: MovingWindowRateLimiter, name: str, calls: int, *, share: float = 1.0) -> None:
        waits: list[float] = []
        for window in self._windows:
            stats = await self._stats(counter, window, name)
            used = window.amount - stats.remaining
            if used + calls > _granted(window, share):
                waits.append(max(0.0, stats.reset_time - time.time()))
        if waits:
            raise SourceRefused(SPENT, retry_after_seconds=max(waits))
        for window in self._windows:
            # Between the look and the hit another replica may have taken them.
            if not await counter.hit(window, name, cost=calls):
                raise SourceRefused(SPENT)

    async def _tell_what_is_missing(self, shared: RedisStorage, counter: MovingWindowRateLimiter) -> None:
        """Count in Redis what was counted without it: what was spent alone, or everything when Redis has forgotten."""
        has_forgotten = await shared.get(self._marker) == 0
        name = _ALL if has_forgotten else _ALONE
        for window in self._windows:
            missing = window.amount - (await self._stats(self._own, window, name)).remaining
            left = (await self._stats(counter, window, self._vendor)).remaining if missing else 0
            if left > 0:
                await counter.hit(window, self._vendor, cost=min(missing, left))
            await self._own.clear(window, _ALONE)
        if has_forgotten:
            await shared.incr(self._marker, 2 * max(window.get_expiry() for window in self._windows))

    async def _count(self, counter: MovingWindowRateLimiter, name: str, calls: int) -> None:
        for window in self._windows:
            await counter.hit(window, name, cost=calls)

    async def _stats(self, counter: MovingWindowRateLimiter, window: RateLimitItemPerSecond, name: str) -> WindowStats:
        """Return how a window stands; calls of the future are forgotten, or they would count until it is there."""
        stats = await counter.get_window_stats(window, name)
        if stats.reset_time > time.time() + window.get_expiry() + FUTURE_SECONDS:
            await counter.clear(window, name)
            stats = await counter.get_window_stats(window, name)
        return stats

    def _note_answered(self) -> None:
        self._breaker.note_success()
        self._note(is_away=False)

    def _note(self, *, is_away: bool, error: Exception | None = None) -> None:
        if is_away == self._is_shared_away:
            return
        self._is_shared_away = is_away
        if is_away:
            cause = {"vendor": self._vendor, "share": self._alone_share, "error": type(error).__name__}
            log.warning("budget is counted by this process alone", extra=cause)
        else:
            log.info("budget is counted in Redis again", extra={"vendor": self._vendor})


def _granted(window: RateLimitItemPerSecond, share: float) -> int:
    return max(1, int(window.amount * share))


class Budgets:
    """Makes the budgets of all vendors, on one pool of connections.

    Args:
        shared: what replicas count in; None counts in this process alone.
    """

    def __init__(self, shared: RedisStorage | None) -> None:
        self._shared = shared
        self._made: dict[str, VendorBudget] = {}
        self._left: dict[tuple[str, ...], float] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, redis_url: SecretStr | None) -> AsyncIterator["Budgets"]:
        """Open the counters, in Redis when there is an address for it."""
        if redis_url is None:
            async with cls(None).watched() as budgets:
                yield budgets
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
            async with cls(shared).watched() as budgets:
                yield budgets
        finally:
            await pool.aclose()

    def of(self, vendor: str, windows: Sequence[Window]) -> VendorBudget:
        """Return a vendor's budget; make one a vendor and process, since each counts what it alone was asked."""
        self._made[vendor] = VendorBudget(vendor, windows, self._shared)
        return self._made[vendor]

    @asynccontextmanager
    async def watched(self) -> AsyncIterator["Budgets"]:
        """Tell what is left of each until the block is left."""
        documentation = "Calls that a vendor may still be asked now, as of some seconds ago."
        with reading("bourse_vendor_budget_left", documentation, lambda: dict(self._left), labels=["vendor"]):
            async with running(self._watch()):
                yield self

    async def _watch(self) -> None:
        while True:
            try:
                self._left = {(vendor,): float(await budget.left()) for vendor, budget in list(self._made.items())}
            except Exception:
                log.exception("budgets not looked at")
            await asyncio.sleep(LOOK_SECONDS)
