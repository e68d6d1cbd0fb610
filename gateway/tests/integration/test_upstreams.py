"""Services that are away, slow or broken: the right status, the envelope, and recovery without help."""

import asyncio
from typing import Any

import pytest

POLICY = "public, max-age=1, stale-while-revalidate=1, stale-if-error=60"


async def test_a_service_that_is_gone_is_503_until_it_is_back(running: Any) -> None:
    headers = running.sign_in()
    assert (await running.http.get("/api/alerts/me", headers=headers)).status_code == 200
    await running.stop_service("alerts")

    response = await running.http.get("/api/alerts/me", headers=headers)
    assert response.status_code == 503
    assert running.error_of(response)["code"] == "UPSTREAM_UNAVAILABLE"
    assert response.headers["retry-after"] == "1"

    await running.start_service("alerts")
    async with asyncio.timeout(5):
        while (await running.http.get("/api/alerts/me", headers=headers)).status_code != 200:
            await asyncio.sleep(0.05)


async def test_a_slow_service_is_504(world: Any) -> None:
    await world.open(rpc_deadline_seconds=0.2)
    await world.until_ready()
    world.alerts.delay_seconds = 1

    response = await world.http.get("/api/alerts/me", headers=world.sign_in())

    assert response.status_code == 504
    assert world.error_of(response)["code"] == "UPSTREAM_TIMEOUT"


async def test_a_broken_service_is_500_and_tells_nothing(running: Any) -> None:
    running.alerts.failure = RuntimeError("secret detail")

    response = await running.http.get("/api/alerts/me", headers=running.sign_in())

    assert response.status_code == 500
    assert running.error_of(response) == {
        "error": "Internal server error",
        "message": "An unexpected error occurred",
        "code": "INTERNAL",
        "request_id": response.headers["x-request-id"],
    }


async def test_a_bug_of_ours_is_500_and_logged_with_its_request(
    running: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("bug")

    monkeypatch.setattr("gateway.health.HealthPage.read", broken)

    response = await running.http.get("/api/health")

    assert response.status_code == 500
    assert running.error_of(response)["message"] == "An unexpected error occurred"
    assert "request failed" in caplog.text


async def test_public_answers_are_kept_as_long_as_the_service_says(running: Any) -> None:
    running.market.cache_control = POLICY
    first = await running.http.get("/api/index/snapshot")
    running.market.nifty_price = 1.0
    second = await running.http.get("/api/index/snapshot")

    assert first.headers["x-cache"] == "MISS"
    assert second.headers["x-cache"] == "HIT"
    assert second.json() == first.json()
    assert second.headers["cache-control"] == POLICY
    assert second.headers["ratelimit-limit"] == "12000"
    assert running.market.calls.count("GetSnapshot") == 1


async def test_a_client_that_has_the_answer_gets_304(running: Any) -> None:
    running.market.cache_control = POLICY
    etag = (await running.http.get("/api/index/snapshot")).headers["etag"]

    response = await running.http.get("/api/index/snapshot", headers={"If-None-Match": etag})

    assert response.status_code == 304
    assert response.content == b""
    assert response.headers["etag"] == etag
    assert "content-length" not in response.headers


async def test_head_of_a_kept_answer_has_its_length_and_no_body(running: Any) -> None:
    running.market.cache_control = POLICY
    got = await running.http.get("/api/index/snapshot")
    head = await running.http.head("/api/index/snapshot")

    assert head.headers["x-cache"] == "HIT"
    assert head.headers["content-length"] == got.headers["content-length"]
    assert head.content == b""


async def test_many_readers_at_once_make_one_call(running: Any) -> None:
    running.market.cache_control = POLICY
    running.market.delay_seconds = 0.1

    answers = await asyncio.gather(*(running.http.get("/api/index/snapshot") for _ in range(20)))

    assert {answer.status_code for answer in answers} == {200}
    assert running.market.calls.count("GetSnapshot") == 1


async def test_a_kept_answer_outlives_its_service_and_says_so(running: Any) -> None:
    running.market.cache_control = POLICY
    fresh = (await running.http.get("/api/index/snapshot")).json()
    await running.stop_service("market")
    await asyncio.sleep(2.1)

    response = await running.http.get("/api/index/snapshot")

    assert response.status_code == 200
    assert response.headers["x-cache"] == "STALE"
    assert int(response.headers["age"]) >= 2
    assert response.json() == {**fresh, "freshness": "stale"}


async def test_without_a_kept_answer_a_dead_service_is_503_for_everyone(running: Any) -> None:
    await running.stop_service("market")

    answers = await asyncio.gather(*(running.http.get("/api/index/snapshot") for _ in range(3)))

    assert [answer.status_code for answer in answers] == [503] * 3
    assert len({running.error_of(answer)["request_id"] for answer in answers}) == 3


async def test_health_tells_within_two_seconds_what_has_changed(running: Any) -> None:
    async def until(status: str) -> dict[str, Any]:
        async with asyncio.timeout(2):
            while (body := (await running.http.get("/api/health")).json())["status"] != status:
                await asyncio.sleep(0.05)
        found: dict[str, Any] = body
        return found

    async def holds() -> bool:
        return True

    running.healths["market"].add("database", holds)
    running.healths["market"].add("warmer:index:snapshot", holds, critical=False)
    await until("healthy")
    await asyncio.sleep(1.6)
    body = await until("healthy")
    assert body["warmers"] == {"index:snapshot": "warm"}
    assert body["services"]["market"] == {
        "status": "serving",
        "checks": {"database": True, "warmer:index:snapshot": True},
    }
    assert body["database"] == "connected"

    await running.stop_service("portfolio")
    body = await until("degraded")
    assert body["services"]["portfolio"]["status"] == "unreachable"
    assert body["database"] == "disconnected"
    await running.start_service("portfolio")
    await until("healthy")
    await running.stop_service("brokers")
    assert (await until("degraded"))["database"] == "connected"


async def test_health_is_200_with_everything_gone(running: Any) -> None:
    for name in ("auth", "market", "portfolio", "brokers", "alerts"):
        await running.stop_service(name)
    async with asyncio.timeout(3):
        while (await running.http.get("/api/health")).json()["status"] != "unhealthy":
            await asyncio.sleep(0.05)

    response = await running.http.get("/api/health")

    assert response.status_code == 200
    assert response.json()["warmers"] == {"index:snapshot": "cold"}
    assert (await running.http.get("/livez")).json() == {"status": "ok"}


async def test_a_bug_in_an_answer_that_is_ready_is_told_to_the_log_alone(
    running: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: bytes) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr("gateway.board.plan_of", fail)
    response = await running.http.get("/api/portfolio/live-prices?symbols=TCS")

    assert response.status_code == 500
    assert running.error_of(response)["code"] == "INTERNAL"
    assert "planted" not in response.text
    assert "planted" in caplog.text
