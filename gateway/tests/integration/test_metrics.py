"""What operators are told of the gateway, as differences: other tests of the process count too."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from chassis.metrics import exposition, value_of
from chassis.testing import has_valkey, valkey_server

POLICY = "public, max-age=60"
KEPT = "/api/index/snapshot"
STALE_POLICY = "public, max-age=1, stale-while-revalidate=60"


def requests(route: str, status: int, method: str = "GET") -> float:
    return value_of("bourse_http_requests_total", {"route": route, "method": method, "status": str(status)}) or 0.0


def answered(route: str) -> float:
    return value_of("bourse_http_seconds_count", {"route": route}) or 0.0


def kept(outcome: str) -> float:
    return value_of("bourse_http_cache_requests_total", {"outcome": outcome}) or 0.0


def checks() -> dict[str, float]:
    outcomes = ("cached", "verified", "expired", "revoked", "refused", "unable")
    return {each: value_of("bourse_token_checks_total", {"outcome": each}) or 0.0 for each in outcomes}


def more(before: dict[str, float]) -> dict[str, float]:
    """Return what has grown since, without what has not."""
    return {name: count - before[name] for name, count in checks().items() if count != before[name]}


async def test_every_answer_is_counted_by_route_whoever_made_it(world: Any) -> None:
    world.market.cache_control = POLICY
    await world.open()
    await world.until_ready()
    timed = answered(KEPT)
    for path in (KEPT, KEPT, KEPT + "/", "/api/alerts/me", "/nothing/here"):
        await world.http.get(path)
    await world.http.head(KEPT)
    etag = (await world.http.get(KEPT)).headers["etag"]
    await world.http.get(KEPT, headers={"If-None-Match": etag})
    await world.http.put(KEPT)

    assert requests(KEPT, 200) == 4
    assert requests(KEPT, 200, "HEAD") == 1
    assert requests(KEPT, 304) == 1
    assert requests(KEPT, 405, "PUT") == 1
    assert answered(KEPT) - timed == 7
    assert requests("/api/alerts/{user_id}", 401) == 1
    assert requests("none", 404) == 1


async def test_what_a_client_writes_into_the_address_is_no_label(running: Any) -> None:
    await running.http.get("/api/alerts/secret-user?token=secret-token")
    await running.http.get("/secret-path")

    assert b"secret" not in exposition()


async def test_a_stream_is_timed_until_its_answer_begins(running: Any) -> None:
    timed = answered("/api/stream")
    async with running.http.stream("GET", "/api/stream?symbols=NSE:TCS"):
        assert answered("/api/stream") - timed == 1
        assert value_of("bourse_streams_open") == 1
        assert requests("/api/stream", 200) == 1


async def test_kept_answers_are_counted_by_outcome(world: Any) -> None:
    world.market.cache_control = STALE_POLICY
    await world.open()
    for _ in range(3):
        await world.http.get(KEPT)
    await asyncio.sleep(1.1)
    await world.http.get(KEPT)

    assert (kept("miss"), kept("hit"), kept("stale")) == (1, 2, 1)
    assert value_of("bourse_http_cache_entries") == 1
    assert (value_of("bourse_http_cache_bytes") or 0) > 0


async def test_the_board_tells_of_ticks_and_gaps(running: Any) -> None:
    assert value_of("bourse_board_tick_age_seconds") is None
    await running.tick({"NSE:TCS": 1.0, "NSE:INFY": 2.0}, sequence=1)
    await running.tick({"NSE:TCS": 1.5, "NSE:BAD": -1.0}, sequence=3)

    assert value_of("bourse_board_instruments") == 2
    assert value_of("bourse_board_ticks_total") == 4
    assert value_of("bourse_board_refused_total") == 1
    assert value_of("bourse_board_holes_total") == 1
    assert 0 <= (value_of("bourse_board_tick_age_seconds") or 0) < 5


async def test_what_streams_are_sent_is_counted(running: Any) -> None:
    async with running.http.stream("GET", "/api/stream?symbols=NSE:TCS") as response:
        chunks = response.aiter_text()
        await anext(chunks)
        sent = value_of("bourse_stream_frames_sent_total") or 0
        await running.tick({"NSE:TCS": 7.0})
        await anext(chunks)

        assert (value_of("bourse_stream_frames_sent_total") or 0) > sent
        assert value_of("bourse_stream_queue_entries", {"kind": "prices"}) is not None


async def test_streams_that_are_not_opened_are_counted(world: Any) -> None:
    await world.open(gateway_stream_max_per_caller=1)
    before = value_of("bourse_streams_refused_total", {"why": "caller"}) or 0
    async with world.http.stream("GET", "/api/stream?symbols=NSE:TCS"):
        assert (await world.http.get("/api/stream?symbols=NSE:TCS")).status_code == 429

    assert (value_of("bourse_streams_refused_total", {"why": "caller"}) or 0) - before == 1


async def test_streams_that_the_gateway_ends_are_counted(running: Any) -> None:
    before = value_of("bourse_streams_dropped_total", {"why": "shutdown"}) or 0
    async with running.http.stream("GET", "/api/stream?symbols=NSE:TCS") as response:
        running.gateway.streams.close()
        await response.aread()

    assert (value_of("bourse_streams_dropped_total", {"why": "shutdown"}) or 0) - before == 1


async def test_tokens_are_counted_by_what_came_of_them(running: Any) -> None:
    headers, path = running.sign_in(), "/api/auth/user/me"
    before = checks()
    await running.http.get(path, headers=headers)
    assert more(before) == {"verified": 1}
    await running.http.get(path, headers=headers)
    await running.http.put(path, headers=headers, json={})
    assert more(before) == {"verified": 1, "cached": 2}
    await running.http.get(path, headers={"Authorization": "Bearer x.y.z"})
    await running.http.get(path)
    assert more(before) == {"verified": 1, "cached": 2, "refused": 1}
    assert value_of("bourse_token_keys") == 1
    assert 0 <= (value_of("bourse_revocations_age_seconds") or -1) < 30


async def test_who_is_over_a_limit_is_counted_by_its_name(world: Any) -> None:
    world.market.cache_control = POLICY
    await world.open(gateway_limit_login="1/minute", gateway_limit_cached="1/minute")
    before = {name: value_of("bourse_rate_limited_total", {"limit": name}) or 0 for name in ("login", "cached")}
    for _ in range(3):
        await world.http.post("/api/auth/login", json={"email": "user@example.com", "password": "correct horse"})
        await world.http.get(KEPT)

    after = {name: value_of("bourse_rate_limited_total", {"limit": name}) or 0 for name in before}
    assert {name: after[name] - before[name] for name in after} == {"login": 2, "cached": 1}
    assert requests("/api/auth/login", 429, "POST") == 2
    assert requests(KEPT, 429) == 1


async def test_limits_of_one_process_are_not_shared(running: Any) -> None:
    assert value_of("bourse_limits_shared") == 0


@pytest.mark.skipif(not has_valkey(), reason="no Valkey wheel for this platform")
async def test_limits_are_shared_for_as_long_as_redis_answers(world: Any, tmp_path: Path) -> None:
    with valkey_server(tmp_path) as url:
        await world.open(redis_url=url)
        await world.http.get("/api/health")
        assert value_of("bourse_limits_shared") == 1
    # Nobody asks for anything meanwhile.
    async with asyncio.timeout(5):
        while value_of("bourse_limits_shared") == 1:
            await asyncio.sleep(0.05)

    assert (value_of("bourse_limits_redis_failures_total") or 0) >= 1


async def test_heads_that_no_request_came_of_are_counted(running: Any) -> None:
    before = value_of("bourse_http_heads_refused_total", {"status": "400"}) or 0
    reader, writer = await asyncio.open_connection("127.0.0.1", running.gateway.port)
    writer.write(b"no such thing\r\n\r\n")
    async with asyncio.timeout(5):
        await reader.readuntil(b"\r\n")
    writer.close()

    assert (value_of("bourse_http_heads_refused_total", {"status": "400"}) or 0) - before == 1
