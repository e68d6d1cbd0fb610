import asyncio
import time

import pytest
from pydantic import SecretStr

from auth.providers.passwords import Argon2Cost, Argon2Passwords, PasswordsBusy
from chassis.metrics import value_of

CHEAP = Argon2Cost(time_cost=1, memory_kib=64, lanes=1)
SLOW = Argon2Cost(time_cost=3, memory_kib=64 * 1024, lanes=1)


async def test_a_password_fits_its_hash_and_no_other() -> None:
    async with Argon2Passwords.open(CHEAP, workers=1, max_waiting=4) as passwords:
        hashed = await passwords.hash(SecretStr("correct horse"))
        assert await passwords.verify(SecretStr("correct horse"), hashed)
        assert not await passwords.verify(SecretStr("Correct horse"), hashed)


async def test_a_hash_says_how_it_was_made_and_is_salted() -> None:
    async with Argon2Passwords.open(CHEAP, workers=1, max_waiting=4) as passwords:
        first, second = [await passwords.hash(SecretStr("correct horse")) for _ in range(2)]
    assert first.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert first != second


async def test_nobodys_hash_never_fits() -> None:
    async with Argon2Passwords.open(CHEAP, workers=1, max_waiting=4) as passwords:
        assert not await passwords.verify(SecretStr("correct horse"), None)


async def test_nobodys_hash_takes_as_long_as_somebodys() -> None:
    async with Argon2Passwords.open(SLOW, workers=1, max_waiting=4) as passwords:
        hashed = await passwords.hash(SecretStr("correct horse"))
        fastest: dict[str | None, float] = {}
        for password_hash in (hashed, None) * 3:
            started = time.perf_counter()
            await passwords.verify(SecretStr("wrong horse"), password_hash)
            taken = time.perf_counter() - started
            fastest[password_hash] = min(taken, fastest.get(password_hash, taken))
    assert 0.5 < fastest[None] / fastest[hashed] < 2


@pytest.mark.parametrize("broken", ["", "plain text", "$argon2id$v=19$m=64,t=1,p=1$", "$2b$12$abc"])
async def test_a_hash_that_is_none_never_fits(broken: str) -> None:
    async with Argon2Passwords.open(CHEAP, workers=1, max_waiting=4) as passwords:
        assert not await passwords.verify(SecretStr("correct horse"), broken)


async def test_other_parameters_make_a_hash_outdated() -> None:
    async with Argon2Passwords.open(CHEAP, workers=1, max_waiting=4) as passwords:
        hashed = await passwords.hash(SecretStr("correct horse"))
        assert not passwords.is_outdated(hashed)
    raised = Argon2Cost(time_cost=2, memory_kib=64, lanes=1)
    async with Argon2Passwords.open(raised, workers=1, max_waiting=4) as passwords:
        assert passwords.is_outdated(hashed)
        assert await passwords.verify(SecretStr("correct horse"), hashed)


async def test_the_event_loop_lives_while_a_hash_is_made() -> None:
    async with Argon2Passwords.open(SLOW, workers=1, max_waiting=4) as passwords:
        hashing = asyncio.create_task(passwords.hash(SecretStr("correct horse")))
        turns = 0
        while not hashing.done():
            await asyncio.sleep(0.001)
            turns += 1
    assert turns > 5


async def test_more_than_may_wait_are_refused_and_those_who_wait_are_served() -> None:
    async with Argon2Passwords.open(SLOW, workers=1, max_waiting=2) as passwords:
        hashing = [asyncio.create_task(passwords.hash(SecretStr("correct horse"))) for _ in range(2)]
        await asyncio.sleep(0)
        before = value_of("bourse_auth_passwords_refused_total") or 0.0
        with pytest.raises(PasswordsBusy) as refused:
            await passwords.hash(SecretStr("correct horse"))
        assert passwords.waiting == 2
        assert value_of("bourse_auth_passwords_refused_total") == before + 1
        assert (refused.value.code, refused.value.retry_after_seconds) == ("UNAVAILABLE", 1.0)
        await asyncio.gather(*hashing)
        assert await passwords.hash(SecretStr("correct horse"))


async def test_a_caller_that_gives_up_leaves_the_queue() -> None:
    async with Argon2Passwords.open(SLOW, workers=1, max_waiting=8) as passwords:
        running = asyncio.create_task(passwords.hash(SecretStr("correct horse")))
        given_up = [asyncio.create_task(passwords.hash(SecretStr("correct horse"))) for _ in range(7)]
        await asyncio.sleep(0)
        for task in given_up:
            task.cancel()
        await asyncio.gather(*given_up, return_exceptions=True)
        next_one = asyncio.create_task(passwords.hash(SecretStr("correct horse")))
        await running
        started = time.perf_counter()
        await next_one
        waited = time.perf_counter() - started
        started = time.perf_counter()
        await passwords.hash(SecretStr("correct horse"))
        alone = time.perf_counter() - started
    assert waited < 4 * alone
