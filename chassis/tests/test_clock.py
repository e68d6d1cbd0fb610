import asyncio
from datetime import UTC, datetime, timedelta

from chassis.clock import ManualClock, SystemClock

START = datetime(2026, 11, 20, 10, tzinfo=UTC)


async def test_sleepers_wake_in_the_order_of_their_times() -> None:
    clock = ManualClock(START)
    woken: list[tuple[str, datetime]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.now()))

    tasks = [asyncio.create_task(sleeper("late", 5)), asyncio.create_task(sleeper("early", 2))]
    await asyncio.sleep(0)
    await clock.advance(10)
    await asyncio.gather(*tasks)
    assert woken == [("early", START + timedelta(seconds=2)), ("late", START + timedelta(seconds=5))]
    assert clock.monotonic() == 10
    await clock.sleep(0)


async def test_the_system_clock_is_aware_and_moves() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0.01)
    assert clock.monotonic() > before
    assert clock.now().tzinfo is UTC
