"""Limits, addresses and cross-origin rules as clients meet them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from chassis.testing import has_valkey, valkey_server

POLICY = "public, max-age=60"
CREDENTIALS = {"email": "user@example.com", "password": "correct horse"}


async def test_too_many_logins_are_429_with_the_time_to_wait(world: Any) -> None:
    await world.open(gateway_limit_login="2/minute")
    answers = [await world.http.post("/api/auth/login", json=CREDENTIALS) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
    assert world.error_of(answers[2])["code"] == "RATE_LIMITED"
    assert 1 <= int(answers[2].headers["retry-after"]) <= 60
    assert world.auth.calls.count("LogIn") == 2


async def test_kept_answers_are_limited_too(world: Any) -> None:
    world.market.cache_control = POLICY
    await world.open(gateway_limit_cached="2/minute")
    answers = [await world.http.get("/api/index/snapshot") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers[1:]] == ["1", "0", "0"]
    assert world.error_of(answers[3])["code"] == "RATE_LIMITED"


async def test_each_user_has_a_limit_of_his_own(world: Any) -> None:
    world.market.cache_control = POLICY
    await world.open(gateway_limit_cached="1/minute")
    await world.until_ready()
    await world.http.get("/api/index/snapshot")
    one, two = world.sign_in("1"), world.sign_in("2")
    calls = (one, one, one, two, two, two)
    answers = [await world.http.get("/api/index/snapshot", headers=headers) for headers in calls]

    # The first request of a token is the one that verifies it; hits are counted from the second.
    assert [answer.status_code for answer in answers] == [200, 200, 429, 200, 200, 429]


async def test_live_prices_from_the_board_are_limited(world: Any) -> None:
    await world.open(gateway_limit_cached="1/minute")
    await world.tick({"NSE:TCS": 1.0})
    answers = [await world.http.get("/api/portfolio/live-prices?symbols=TCS") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 429]


async def test_a_proxy_that_is_not_trusted_cannot_choose_the_address(world: Any) -> None:
    await world.open(gateway_limit_login="1/minute")
    answers = [
        await world.http.post("/api/auth/login", json=CREDENTIALS, headers={"X-Forwarded-For": f"10.0.0.{number}"})
        for number in range(2)
    ]

    assert [answer.status_code for answer in answers] == [401, 429]


async def test_a_trusted_proxy_names_the_client(world: Any) -> None:
    await world.open(gateway_limit_login="1/minute", gateway_trusted_proxies="127.0.0.0/8")
    answers = [
        await world.http.post("/api/auth/login", json=CREDENTIALS, headers={"X-Forwarded-For": f"10.0.0.{number}"})
        for number in (1, 2, 2)
    ]

    assert [answer.status_code for answer in answers] == [401, 401, 429]


@pytest.mark.skipif(not has_valkey(), reason="no Valkey wheel for this platform")
async def test_redis_is_shared_between_gateways(world: Any, tmp_path: Path) -> None:
    with valkey_server(tmp_path) as url:
        await world.open(gateway_limit_login="2/minute", redis_url=url)
        first = world.http
        await world.open(gateway_limit_login="2/minute", redis_url=url)
        answers = [await client.post("/api/auth/login", json=CREDENTIALS) for client in (first, world.http, first)]

        assert [answer.status_code for answer in answers] == [401, 401, 429]
        assert (await first.get("/api/health")).json()["cache_l2"]["backend"] == "redis"


async def test_a_body_that_never_ends_is_408(world: Any) -> None:
    await world.open(gateway_body_timeout_seconds=0.1)

    async def slowly() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(1)
        yield b"}"

    response = await world.http.post(
        "/api/auth/register", content=slowly(), headers={"Content-Type": "application/json"}
    )

    assert response.status_code == 408
    assert world.error_of(response)["message"] == "The request's body did not arrive within 0.1 seconds"
    assert response.headers["connection"] == "close"


async def test_other_origins_are_welcome_only_by_setting(world: Any) -> None:
    await world.open(gateway_cors_origins="https://app.example")
    preflight = {
        "Origin": "https://app.example",
        "X-Request-ID": "mine",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-csrf-token",
    }
    allowed = await world.http.options("/api/alerts/me", headers=preflight)
    denied = await world.http.options("/api/alerts/me", headers={**preflight, "Origin": "https://evil.example"})
    simple = await world.http.get("/api/index/snapshot", headers={"Origin": "https://app.example"})

    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://app.example"
    assert allowed.headers["access-control-allow-credentials"] == "true"
    assert denied.status_code == 400
    assert world.error_of(denied)["code"] == "INVALID_REQUEST"
    assert denied.headers["x-request-id"] == "mine"
    assert "access-control-allow-origin" not in denied.headers
    assert simple.headers["access-control-allow-origin"] == "https://app.example"


async def test_kept_answers_carry_the_origin_too(world: Any) -> None:
    world.market.cache_control = POLICY
    await world.open(gateway_cors_origins="https://app.example")
    await world.http.get("/api/index/snapshot")

    hit = await world.http.get("/api/index/snapshot", headers={"Origin": "https://app.example"})

    assert hit.headers["x-cache"] == "HIT"
    assert hit.headers["access-control-allow-origin"] == "https://app.example"


async def test_any_origin_comes_without_cookies(world: Any) -> None:
    await world.open(gateway_cors_origins="*")

    response = await world.http.get("/api/index/snapshot", headers={"Origin": "https://any.example"})

    assert response.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in response.headers


async def test_without_the_setting_no_origin_is_welcome(running: Any) -> None:
    response = await running.http.get("/api/index/snapshot", headers={"Origin": "https://app.example"})

    assert "access-control-allow-origin" not in response.headers
