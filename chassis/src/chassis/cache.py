"""The shared second-level cache: Redis by address, the process's own memory without one.

A cache never fails its caller: a Redis that is away is a miss, counted and logged once a change.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from chassis.metrics import counter, reading
from chassis.redis_pool import redis_pool
from chassis.settings import ProcessSettings

log = logging.getLogger(__name__)

MEMORY_ENTRIES = 10_000

READS = counter("bourse_cache_reads", "Keys asked of the second-level cache.", ["outcome"])
HITS, MISSES = READS.labels("hit"), READS.labels("miss")
FAILURES = counter("bourse_cache_failures", "Calls that the second-level cache did not answer.")


class Cache(Protocol):
    """Keeps bytes by key for a while."""

    async def get(self, key: str) -> bytes | None:
        """Return what was kept, or None."""
        ...

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return what was kept, by key, in one round trip."""
        ...

    async def set(self, key: str, value: bytes, *, ttl_seconds: float) -> None:
        """Keep `value` for at most `ttl_seconds`."""
        ...

    async def set_many(self, values: Mapping[str, bytes], *, ttl_seconds: float) -> None:
        """Keep values by key for at most `ttl_seconds`, in one round trip."""
        ...

    async def is_answering(self) -> bool:
        """Say whether the cache works now."""
        ...


class MemoryCache:
    """A bounded cache of this process; the least recently used goes first."""

    def __init__(self, max_entries: int = MEMORY_ENTRIES) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    async def get(self, key: str) -> bytes | None:
        """Return what was kept, or None."""
        value = self._find(key)
        (MISSES if value is None else HITS).inc()
        return value

    def _find(self, key: str) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        expires_at, value = entry
        if expires_at <= time.monotonic():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return value

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return what was kept, by key."""
        return {key: value for key in keys if (value := await self.get(key)) is not None}

    async def set_many(self, values: Mapping[str, bytes], *, ttl_seconds: float) -> None:
        """Keep values by key for at most `ttl_seconds`."""
        for key, value in values.items():
            await self.set(key, value, ttl_seconds=ttl_seconds)

    async def set(self, key: str, value: bytes, *, ttl_seconds: float) -> None:
        """Keep `value` for at most `ttl_seconds`."""
        self._entries[key] = (time.monotonic() + ttl_seconds, value)
        self._entries.move_to_end(key)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    async def is_answering(self) -> bool:
        """Say whether the cache works now."""
        return True


class RedisCache:
    """Redis, with a quarter of a second for every call."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._is_up = True
        self.failures = 0

    async def get(self, key: str) -> bytes | None:
        """Return what was kept, or None; None too when Redis is away."""
        return (await self.get_many([key])).get(key)

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return what was kept, by key, in one round trip; nothing when Redis is away."""
        try:
            values = await self._redis.mget(keys)
        except (RedisError, OSError, TimeoutError) as error:
            self._note(is_up=False, error=error)
            return {}
        self._note(is_up=True)
        found = {key: value for key, value in zip(keys, values, strict=True) if isinstance(value, bytes)}
        HITS.inc(len(found))
        MISSES.inc(len(keys) - len(found))
        return found

    async def set(self, key: str, value: bytes, *, ttl_seconds: float) -> None:
        """Keep `value` for at most `ttl_seconds`; nothing is kept when Redis is away."""
        await self.set_many({key: value}, ttl_seconds=ttl_seconds)

    async def set_many(self, values: Mapping[str, bytes], *, ttl_seconds: float) -> None:
        """Keep values by key for at most `ttl_seconds`, in one round trip; nothing is kept when Redis is away."""
        milliseconds = max(1, int(ttl_seconds * 1000))
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for key, value in values.items():
                    pipeline.set(key, value, px=milliseconds)
                await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            self._note(is_up=False, error=error)
        else:
            self._note(is_up=True)

    async def is_answering(self) -> bool:
        """Say whether Redis answers now."""
        try:
            await self._redis.ping()
        except (RedisError, OSError, TimeoutError) as error:
            self._note(is_up=False, error=error)
            return False
        self._note(is_up=True)
        return True

    @property
    def is_up(self) -> bool:
        """Say whether Redis answered the last call."""
        return self._is_up

    def _note(self, *, is_up: bool, error: Exception | None = None) -> None:
        if not is_up:
            self.failures += 1
            FAILURES.inc()
        if is_up != self._is_up:
            log.warning("redis changed", extra={"is_up": is_up, "error": type(error).__name__})
        self._is_up = is_up


@asynccontextmanager
async def open_cache(settings: ProcessSettings) -> AsyncIterator[Cache]:
    """Open the second-level cache that REDIS_URL names, the process's memory when it names none."""
    if settings.redis_url is None:
        yield MemoryCache()
        return
    redis = Redis.from_pool(redis_pool(settings.redis_url))
    cache = RedisCache(redis)
    try:
        with reading("bourse_cache_shared", "Whether Redis answered last: 1 or 0.", lambda: float(cache.is_up)):
            yield cache
    finally:
        await redis.aclose()
