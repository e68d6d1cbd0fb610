from datetime import UTC, datetime
from typing import Any

import pytest
from limits import parse

from chassis.clock import ManualClock
from chassis.testing import free_port
from gateway.errors import RateLimited
from gateway.limits import HitCounter, Limits
from gateway.settings import Settings
from gateway.wire import Incoming


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 4, 7, tzinfo=UTC))


def incoming(
    address: str = "10.0.0.1", *, method: str = "GET", path: str = "/api/x", user_id: str | None = None
) -> Incoming:
    made = Incoming({"method": method, "path": path, "headers": [], "client": (address, 1)})
    made.user_id = user_id
    return made


async def test_hits_are_counted_in_windows(clock: ManualClock) -> None:
    counter = HitCounter(parse("2/minute"), clock)
    first = dict(counter.admit(incoming()))
    counter.admit(incoming())
    with pytest.raises(RateLimited) as refused:
        counter.admit(incoming())
    counter.admit(incoming("10.0.0.2"))
    await clock.advance(60)

    assert dict(counter.admit(incoming()))[b"ratelimit-remaining"] == b"1"
    assert first[b"ratelimit-limit"] == b"2"
    assert first[b"ratelimit-remaining"] == b"1"
    assert refused.value.headers is not None
    assert refused.value.headers["Retry-After"] == "60"


def test_a_user_is_counted_wherever_he_calls_from(clock: ManualClock) -> None:
    counter = HitCounter(parse("1/minute"), clock)
    counter.admit(incoming("10.0.0.1", user_id="42"))

    with pytest.raises(RateLimited):
        counter.admit(incoming("10.0.0.2", user_id="42"))
    counter.admit(incoming("10.0.0.1"))


def test_counted_callers_are_bounded(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.limits.MAX_COUNTED_CALLERS", 2)
    counter = HitCounter(parse("2/minute"), clock)
    for number in range(4):
        counter.admit(incoming(f"10.0.0.{number}"))

    with pytest.raises(RateLimited):
        counter.admit(incoming("10.0.0.9"))


def make_limits(clock: ManualClock, **changes: Any) -> Limits:
    return Limits(Settings(**changes), clock)


async def test_reads_and_writes_are_counted_apart(clock: ManualClock) -> None:
    limits = make_limits(clock, gateway_limit_read="1/minute", gateway_limit_write="1/minute")
    await limits.admit(incoming())
    await limits.admit(incoming(method="POST"))

    with pytest.raises(RateLimited):
        await limits.admit(incoming())


@pytest.mark.parametrize("name", ["register", "login", "refresh"])
async def test_signing_in_is_limited_hard_and_by_address(clock: ManualClock, name: str) -> None:
    limits = make_limits(clock, **{f"gateway_limit_{name}": "2/minute"})
    for user in ("1", "2"):
        await limits.admit(incoming(method="POST", path=f"/api/auth/{name}/", user_id=user))

    with pytest.raises(RateLimited):
        await limits.admit(incoming(method="POST", path=f"/api/auth/{name}", user_id="3"))
    await limits.admit(incoming("10.0.0.2", method="POST", path=f"/api/auth/{name}"))


async def test_syncs_share_a_limit_by_user(clock: ManualClock) -> None:
    limits = make_limits(clock, gateway_limit_sync="2/minute")
    for path in ("/api/portfolio/sync", "/api/portfolio/icici-sync/"):
        await limits.admit(incoming(method="POST", path=path, user_id="1"))

    with pytest.raises(RateLimited):
        await limits.admit(incoming("10.0.0.2", method="POST", path="/api/portfolio/sync", user_id="1"))
    await limits.admit(incoming(method="POST", path="/api/portfolio/sync", user_id="2"))
    await limits.admit(incoming(path="/api/portfolio/sync", user_id="1"))


async def test_activations_share_a_limit_by_address(clock: ManualClock) -> None:
    limits = make_limits(clock, gateway_limit_sync="2/minute")
    for path, user_id in (("/icici/activate", "1"), ("/zerodha/activate", None)):
        await limits.admit(incoming(method="POST", path=path, user_id=user_id))

    with pytest.raises(RateLimited):
        await limits.admit(incoming(method="POST", path="/icici/activate", user_id="2"))
    await limits.admit(incoming("10.0.0.2", method="POST", path="/icici/activate"))


async def test_every_limited_answer_says_how_it_stands(clock: ManualClock) -> None:
    limits = make_limits(clock, gateway_limit_read="5/minute")
    request = incoming()

    await limits.admit(request)

    assert dict(request.limit_headers)[b"ratelimit-limit"] == b"5"
    assert dict(request.limit_headers)[b"ratelimit-remaining"] == b"4"
    assert 1 <= int(dict(request.limit_headers)[b"ratelimit-reset"]) <= 60


async def test_probes_are_not_limited(clock: ManualClock) -> None:
    limits = make_limits(clock, gateway_limit_read="1/minute")
    for _ in range(5):
        await limits.admit(incoming(path="/livez"))


async def test_without_redis_each_process_counts_for_itself(clock: ManualClock) -> None:
    limits = make_limits(clock, gateway_limit_read="1/minute", redis_url=f"redis://127.0.0.1:{free_port()}/0")
    await limits.admit(incoming())

    with pytest.raises(RateLimited):
        await limits.admit(incoming())
    assert limits.redis_failures == 1


async def test_redis_is_tried_again_after_a_rest(clock: ManualClock) -> None:
    limits = make_limits(clock, redis_url=f"redis://127.0.0.1:{free_port()}/0")
    await limits.admit(incoming())
    await clock.advance(1)
    await limits.admit(incoming())

    assert limits.redis_failures == 2


async def test_a_flood_of_addresses_is_counted_together(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.limits.MAX_LOCAL_CALLERS", 2)
    limits = make_limits(clock, gateway_limit_read="3/minute")
    for number in range(5):
        await limits.admit(incoming(f"10.0.0.{number}"))

    with pytest.raises(RateLimited):
        await limits.admit(incoming("10.0.0.9"))
    await limits.admit(incoming("10.0.0.0"))


def test_a_limit_that_cannot_be_read_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match="gateway_limit_read"):
        Settings(gateway_limit_read="often")
