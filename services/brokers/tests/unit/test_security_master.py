import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from brokers.domain.isins import NoDirectory
from brokers.providers.breeze import security_master
from brokers.providers.breeze.security_master import KEEP_SECONDS, RETRY_SECONDS, SecurityMaster
from brokers.providers.children.refusals import ChildRefused, Refusal
from chassis.clock import ManualClock

ROWS = [["NSE", "RELIND", "INE002A01018", "RELIANCE"], ["too", "short"]]


class FakeNursery:
    """Answers with rows, or refuses, and counts."""

    def __init__(self) -> None:
        self.answer: Any = ROWS
        self.asked: list[str | None] = []
        self.gate: asyncio.Event | None = None

    async def run(self, job: str, *, secrets: Any, parameters: Any, deadline_seconds: float) -> Any:
        assert (job, secrets) == ("breeze_security_master", {})
        self.asked.append(parameters["root_url"])
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 20, tzinfo=UTC))


@pytest.fixture
def nursery() -> FakeNursery:
    return FakeNursery()


@pytest.fixture
def master(nursery: Any, clock: ManualClock) -> SecurityMaster:
    return SecurityMaster(nursery, clock)


def symbol(directory: Any) -> str | None:
    found: str | None = directory.resolve("NSE", "RELIND", None).symbol
    return found


async def test_it_is_fetched_once_a_day_for_all_who_ask(
    master: SecurityMaster, nursery: FakeNursery, clock: ManualClock
) -> None:
    found = await asyncio.gather(*(master.directory(None) for _ in range(5)))
    assert {symbol(directory) for directory in found} == {"RELIANCE"}
    await clock.advance(KEEP_SECONDS - 1)
    await master.directory(None)
    assert nursery.asked == [None]
    await clock.advance(1)
    await master.directory(None)
    assert nursery.asked == [None, None]


async def test_each_address_has_its_own(master: SecurityMaster, nursery: FakeNursery) -> None:
    await master.directory(None)
    await master.directory("http://127.0.0.1:8700")
    assert nursery.asked == [None, "http://127.0.0.1:8700"]


@pytest.mark.parametrize("answer", [ChildRefused(Refusal.UNAVAILABLE), 5])
async def test_without_it_nothing_is_known_and_it_is_tried_again_later(
    master: SecurityMaster, nursery: FakeNursery, clock: ManualClock, answer: Any
) -> None:
    nursery.answer = answer
    assert isinstance(await master.directory(None), NoDirectory)
    await master.directory(None)
    assert len(nursery.asked) == 1
    nursery.answer = ROWS
    await clock.advance(RETRY_SECONDS)
    assert symbol(await master.directory(None)) == "RELIANCE"


async def test_yesterdays_is_better_than_none(master: SecurityMaster, nursery: FakeNursery, clock: ManualClock) -> None:
    await master.directory(None)
    nursery.answer = ChildRefused(Refusal.TIMEOUT)
    await clock.advance(KEEP_SECONDS)
    assert symbol(await master.directory(None)) == "RELIANCE"


async def test_a_sync_does_not_wait_for_a_slow_one_which_serves_the_next(
    master: SecurityMaster, nursery: FakeNursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security_master, "WAIT_SECONDS", 0.01)
    nursery.gate = asyncio.Event()
    assert isinstance(await master.directory(None), NoDirectory)
    nursery.gate.set()
    monkeypatch.setattr(security_master, "WAIT_SECONDS", 5)
    assert symbol(await master.directory(None)) == "RELIANCE"
    assert len(nursery.asked) == 1


async def test_a_download_is_given_up_at_the_end(master: SecurityMaster, nursery: FakeNursery) -> None:
    nursery.gate = asyncio.Event()
    waiting = asyncio.create_task(master.directory(None))
    async with asyncio.timeout(5):
        while not nursery.asked:
            await asyncio.sleep(0)
    await master.finish()
    with pytest.raises(asyncio.CancelledError):
        await waiting
