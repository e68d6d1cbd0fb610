"""How often one caller may ask: a library's limiter for everything, a plain counter for answers that are ready.

Over a limit is 429 with `Retry-After`; every limited answer says how it stands in `RateLimit-*` headers. Without Redis,
and while Redis is away, each process counts for itself: a limiter never fails a client.
"""

import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from pydantic import SecretStr
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import RedisError

from chassis.clock import Clock
from chassis.metrics import counter
from chassis.redis_pool import redis_pool
from chassis.tasks import running
from gateway.errors import RateLimited, whole_seconds
from gateway.settings import Settings
from gateway.wire import SAFE_METHODS, Header, Incoming

log = logging.getLogger(__name__)

REDIS_REST_SECONDS = 1.0
LOOK_SECONDS = 1.0
MAX_REDIS_CONNECTIONS = 64
MAX_COUNTED_CALLERS = 100_000
MAX_LOCAL_CALLERS = 10_000
CROWD = "everyone else"
UNLIMITED_PATHS = frozenset({"/livez", "/readyz"})

RATE_LIMITED = counter("bourse_rate_limited", "Requests of callers who were over a limit.", ["limit"])


@dataclass(frozen=True, slots=True)
class Standing:
    """How a caller stands against a limit after one request."""

    limit: int
    remaining: int
    reset_seconds: float

    def headers(self) -> list[Header]:
        """Return the headers that say so."""
        return [
            (b"ratelimit-limit", str(self.limit).encode()),
            (b"ratelimit-remaining", str(max(0, self.remaining)).encode()),
            (b"ratelimit-reset", str(whole_seconds(self.reset_seconds)).encode()),
        ]

    def refusal(self, limit: str) -> RateLimited:
        """Return the error for a caller who is over the limit of this name, and count it."""
        RATE_LIMITED.labels(limit).inc()
        headers = {name.decode(): value.decode() for name, value in self.headers()}
        return RateLimited(self.reset_seconds, headers=headers)


class HitCounter:
    """Counts answers that cost next to nothing, in fixed windows, by caller, in this process alone."""

    def __init__(self, limit: RateLimitItem, clock: Clock) -> None:
        self._limit = limit.amount
        self._window_seconds = limit.get_expiry()
        self._clock = clock
        self._counts: dict[str, int] = {}
        self._ends_at = 0.0
        self._limit_header = (b"ratelimit-limit", str(limit.amount).encode())

    def admit(self, incoming: Incoming) -> list[Header]:
        """Count one request and return its limit headers.

        Raises:
            RateLimited: the caller is over the limit.
        """
        now = self._clock.monotonic()
        if now >= self._ends_at:
            self._counts.clear()
            self._ends_at = now + self._window_seconds
        key = incoming.limit_key
        used = self._counts.get(key)
        if used is None and len(self._counts) >= MAX_COUNTED_CALLERS:
            key = CROWD
            used = self._counts.get(key)
        used = 1 if used is None else used + 1
        self._counts[key] = used
        if used > self._limit:
            raise Standing(self._limit, 0, self._ends_at - now).refusal("cached")
        remaining = b"%d" % (self._limit - used)
        reset = b"%d" % (int(self._ends_at - now) + 1)
        return [self._limit_header, (b"ratelimit-remaining", remaining), (b"ratelimit-reset", reset)]


class Limiter:
    """The limits library over Redis, and over this process's memory while Redis is not there."""

    def __init__(self, redis_url: SecretStr | None, clock: Clock) -> None:
        self._clock = clock
        self._memory = MemoryStorage()
        self._local = FixedWindowRateLimiter(self._memory)
        self._pool = redis_pool(redis_url, max_connections=MAX_REDIS_CONNECTIONS) if redis_url is not None else None
        self._shared = _shared_by(self._pool) if self._pool is not None else None
        self._resting_until = 0.0
        self.redis_failures = 0
        self.is_shared = self._shared is not None

    async def look(self) -> None:
        """Ask Redis for a sign of life, unless it has failed just now: counts may be shared though nobody counts."""
        if self._pool is None or self._clock.monotonic() < self._resting_until:
            return
        try:
            await Redis(connection_pool=self._pool).ping()
        except (RedisError, OSError, TimeoutError) as error:
            self._note_failure(error)
        else:
            self.is_shared = True

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._pool is not None:
            await self._pool.aclose()

    async def hit(self, item: RateLimitItem, key: str) -> tuple[bool, Standing]:
        """Count one request; return whether it is within the limit, and how the caller stands."""
        if self._shared is not None and self._clock.monotonic() >= self._resting_until:
            try:
                standing = await _hit(self._shared, item, key)
            except (RedisError, OSError, TimeoutError) as error:
                self._note_failure(error)
            else:
                self.is_shared = True
                return standing
        return await _hit(self._local, item, self._bounded(item, key))

    @property
    def has_redis(self) -> bool:
        """Say whether counts are meant to be shared."""
        return self._shared is not None

    def _note_failure(self, error: Exception) -> None:
        self.redis_failures += 1
        self._resting_until = self._clock.monotonic() + REDIS_REST_SECONDS
        if self.is_shared:
            log.warning("limits are counted locally", extra={"error": type(error).__name__})
        self.is_shared = False

    def _bounded(self, item: RateLimitItem, key: str) -> str:
        # The library's memory walks over all its callers with every call: a flood of addresses must not slow it down.
        counted = self._memory.expirations
        return CROWD if len(counted) >= MAX_LOCAL_CALLERS and item.key_for(key) not in counted else key


def _shared_by(pool: ConnectionPool) -> FixedWindowRateLimiter:
    # The address says no more than which kind of store it is; the pool knows where it is.
    return FixedWindowRateLimiter(
        RedisStorage("async+redis://", implementation="redispy", connection_pool=pool)  # type: ignore[arg-type]
    )


async def _hit(limiter: FixedWindowRateLimiter, item: RateLimitItem, key: str) -> tuple[bool, Standing]:
    is_within = await limiter.hit(item, key)
    stats = await limiter.get_window_stats(item, key)
    return is_within, Standing(item.amount, stats.remaining, max(0.0, stats.reset_time - time.time()))


class Limits:
    """Which limit a request falls under, and whether it may pass."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._clock = clock
        self._limiter = Limiter(settings.redis_url, clock)
        sync = parse(settings.gateway_limit_sync)
        recovery = parse(settings.gateway_limit_recovery)
        mail = parse(settings.gateway_limit_mail)
        self._by_address: Mapping[tuple[str, str], tuple[str, RateLimitItem]] = {
            ("POST", "/api/auth/register"): ("register", parse(settings.gateway_limit_register)),
            ("POST", "/api/auth/login"): ("login", parse(settings.gateway_limit_login)),
            ("POST", "/api/auth/refresh"): ("refresh", parse(settings.gateway_limit_refresh)),
            ("POST", "/api/auth/password/forgot"): ("forgot", recovery),
            ("POST", "/api/auth/password/reset"): ("reset", recovery),
            ("POST", "/api/auth/email/verify"): ("verify", recovery),
            ("POST", "/api/email/unsubscribe"): ("unsubscribe", recovery),
            # One count for both: whoever guesses an admin secret is not to have more tries by changing the broker.
            ("POST", "/icici/activate"): ("activate", sync),
            ("POST", "/zerodha/activate"): ("activate", sync),
        }
        self._by_user: Mapping[tuple[str, str], tuple[str, RateLimitItem]] = {
            ("POST", "/api/portfolio/sync"): ("sync", sync),
            ("POST", "/api/portfolio/icici-sync"): ("sync", sync),
        }
        # Below these stands a user's id or `me`: however it is written, it is one user's count.
        self._by_owner: Mapping[tuple[str, str], tuple[str, RateLimitItem]] = {
            ("POST", "/api/auth/email/verification"): ("verification", mail),
            ("POST", "/api/email/portfolio-summary"): ("summary", mail),
        }
        self._read = ("read", parse(settings.gateway_limit_read))
        self._write = ("write", parse(settings.gateway_limit_write))
        self.hits = HitCounter(parse(settings.gateway_limit_cached), clock)

    @property
    def has_redis(self) -> bool:
        """Say whether counts are meant to be shared."""
        return self._limiter.has_redis

    @property
    def is_shared(self) -> bool:
        """Say whether counts are shared now: Redis is there, and answered when it was last asked."""
        return self._limiter.is_shared

    @property
    def redis_failures(self) -> int:
        """Return how often Redis could not be asked."""
        return self._limiter.redis_failures

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look whether Redis is there until the block is left; then close what is open."""
        try:
            async with running(self._watch()):
                yield
        finally:
            await self._limiter.close()

    async def admit(self, incoming: Incoming) -> None:
        """Count one request that is not ready-made, and note on it what its answer says about limits.

        Raises:
            RateLimited: the caller is over the limit.
        """
        method, path = incoming.scope["method"], incoming.scope["path"]
        if path in UNLIMITED_PATHS:
            return
        operation = (method, path.rstrip("/"))
        if operation in self._by_address:
            name, item = self._by_address[operation]
            key = incoming.address
        else:
            name, item = self._of_user(operation)
            key = incoming.limit_key
        is_within, standing = await self._limiter.hit(item, f"{name}:{key}")
        if not is_within:
            raise standing.refusal(name)
        incoming.limit_headers = standing.headers()

    async def _watch(self) -> None:
        while True:
            try:
                await self._limiter.look()
            except Exception:
                # The outermost frame of a task that must outlive any one failure.
                log.exception("limits not looked at")
            await self._clock.sleep(LOOK_SECONDS)

    def _of_user(self, operation: tuple[str, str]) -> tuple[str, RateLimitItem]:
        method, path = operation
        found = self._by_user.get(operation) or self._by_owner.get((method, path.rpartition("/")[0]))
        return found or (self._read if method in SAFE_METHODS else self._write)
