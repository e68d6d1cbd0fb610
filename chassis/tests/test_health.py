import asyncio

from chassis.health import CHECK_TIMEOUT_SECONDS, Health


async def test_a_check_that_does_not_even_leave_in_time_does_not_hold_up_what_is_said() -> None:
    is_over = asyncio.Event()

    async def database() -> bool:
        try:
            await asyncio.sleep(60)
        finally:
            # As a driver does that says goodbye to a server that does not listen.
            await is_over.wait()
        return True

    async def nats() -> bool:
        return True

    health = Health()
    health.add("database", database)
    health.add("nats", nats)
    try:
        async with asyncio.timeout(10 * CHECK_TIMEOUT_SECONDS):
            assert not await health.evaluate()
            assert health.states == {"": False, "database": False, "nats": True}
            assert not await health.evaluate()
    finally:
        is_over.set()


async def test_checks_that_have_not_ended_are_ended_with_the_rest() -> None:
    async def database() -> bool:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(60)
        return True

    def under_way() -> list[str]:
        return [name for task in asyncio.all_tasks() if (name := task.get_name()).startswith("check ")]

    health = Health()
    health.add("database", database)
    async with health.watching():
        assert health.failing() == ["database"]
        assert under_way() == ["check database"]
    assert not under_way()


async def test_a_check_that_raises_does_not_hold() -> None:
    async def database() -> bool:
        raise ConnectionError

    health = Health()
    health.add("database", database)
    assert not await health.evaluate()
